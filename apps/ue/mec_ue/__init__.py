"""Programs of a UE: a drive along a trace on it; a viewer and a demo from the controller."""
