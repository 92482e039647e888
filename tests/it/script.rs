//! Policies as files, run by the command.
mod cases;
