//! Owns the directives about who may do what.

use super::super::directive::section;
use super::super::values::{AclPubsubDefault, ProtectedAction};
use super::I64_MAX;

section! {
    /// Who may do what.
    Security in security {
        /// The password of the default user; empty asks for none. Clients can try very many passwords a
        /// second, so choose a long one.
        requirepass: Vec<u8> = secret(), "requirepass", "", SENSITIVE => "foobared";

        /// Keep users in this file, instead of in `user` lines here: one way or the other. ACL LOAD reads it,
        /// ACL SAVE writes it.
        aclfile: String = text(), "aclfile", "", IMMUTABLE => "/etc/redis/users.acl";

        /// How many refused attempts ACL LOG keeps.
        acllog_max_len: u64 = int(0, I64_MAX), "acllog-max-len", "128";

        /// The channels that a new user may use: resetchannels (none) or allchannels.
        acl_pubsub_default: AclPubsubDefault = choice(), "acl-pubsub-default", "resetchannels";

        /// Who may use the DEBUG command: nobody (no), everybody (yes), or local connections (local).
        enable_debug_command: ProtectedAction = choice(), "enable-debug-command", "no", IMMUTABLE;

        /// Who may use the MODULE command. Tandem loads no modules.
        enable_module_command: ProtectedAction = choice(), "enable-module-command", "no", IMMUTABLE, NO_EFFECT("there are no modules");

        /// Who may change dir and dbfilename with CONFIG SET.
        enable_protected_configs: ProtectedAction = choice(), "enable-protected-configs", "no", IMMUTABLE;
    }
}
