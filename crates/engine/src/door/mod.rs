//! What every command passes: the way in ([`dispatch`]), what a command is given ([`ctx`], [`call`]), pauses, and
//! the way out of its effects ([`propagate`]).

pub(crate) mod busy;
pub mod call;
pub(crate) mod ctx;
mod dispatch;
pub(crate) mod oversize;
pub mod pause;
pub(crate) mod permission;
pub mod propagate;
pub(crate) mod redirect;
pub mod stream_fault;
mod web_request;
