"""Programs that use a UE of the testbed from the controller: a viewer in a real browser, a demo."""
