"""The interfaces that ETSI has standardised: MEC 012 (cell change), MEC 013 and MEC 021."""
