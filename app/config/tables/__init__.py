"""The files of tables: the forms of what stands in them, and which runs begin with the weights of which."""
