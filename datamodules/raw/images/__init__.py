"""Images, published ones and one's own, and the superpixel graphs that are made of them."""
