//! The table as a whole. Rows with logic of their own are tested beside it.
