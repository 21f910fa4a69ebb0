"""RLapp: turns the movement of UEs into handoffs, and tells everybody who may know about them."""
