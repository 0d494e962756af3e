//! What belongs to the Internet Protocol itself: addresses and routes, neighbours, fragments.

pub(crate) mod addresses;
pub(crate) mod fragments;
pub(crate) mod neighbors;
