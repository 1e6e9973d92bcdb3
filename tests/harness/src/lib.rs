//! Private instances of real servers for tests.
