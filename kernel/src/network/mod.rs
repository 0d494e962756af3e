//! Interfaces, protocol stacks, sockets.
