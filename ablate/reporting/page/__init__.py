"""What the page is made of: tables, drawn rows, and the data that its script draws from."""
