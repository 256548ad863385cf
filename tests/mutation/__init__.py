"""What the tests are worth: each row of the tables and each rule is taken away in turn, and some test has to fail."""
