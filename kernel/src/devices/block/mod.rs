//! Disks: one folder or file per controller.
