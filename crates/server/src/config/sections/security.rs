//! Owns the directives about who may do what.

use super::super::directive::section;
use super::super::values::{AclPubsubDefault, ProtectedAction};
use super::{I64_MAX, no_aclfile};

section! {
    /// Who may do what.
    Security in security {
        /// The password of the default user; empty asks for none. Clients can try very many passwords a
        /// second, so choose a long one.
        requirepass: Vec<u8> = secret(), "requirepass", "", SENSITIVE => "foobared";

        /// Keep users in this file, instead of in `user` lines here. Not supported: a name is refused.
        aclfile: String = text(no_aclfile), "aclfile", "", IMMUTABLE, NO_EFFECT("there are no users but the default one yet");

        /// How many refused attempts ACL LOG keeps.
        acllog_max_len: u64 = int(0, I64_MAX), "acllog-max-len", "128";

        /// The channels that a new user may use: resetchannels (none) or allchannels.
        acl_pubsub_default: AclPubsubDefault = choice(), "acl-pubsub-default", "resetchannels", NO_EFFECT("there are no users but the default one yet");

        /// Who may use the DEBUG command: nobody (no), everybody (yes), or local connections (local).
        enable_debug_command: ProtectedAction = choice(), "enable-debug-command", "no", IMMUTABLE;

        /// Who may use the MODULE command. Tandem loads no modules.
        enable_module_command: ProtectedAction = choice(), "enable-module-command", "no", IMMUTABLE, NO_EFFECT("there are no modules");

        /// Who may change dir and dbfilename with CONFIG SET.
        enable_protected_configs: ProtectedAction = choice(), "enable-protected-configs", "no", IMMUTABLE;
    }
}
