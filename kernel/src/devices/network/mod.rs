//! Network interface controllers: one folder or file per controller.
