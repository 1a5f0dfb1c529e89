"""What becomes of the calls of a traced network: layers, convolutions, functions, casts; `finding` finds the rule."""
