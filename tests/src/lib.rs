//! Whole-process tests live in the files beside this package.
