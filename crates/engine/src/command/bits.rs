//! Owns the shape of a set of flags with names: those of commands, of their keys, ACL categories.

macro_rules! bits {
    ($(#[$doc:meta])* $name:ident: $repr:ty { $($(#[$flag_doc:meta])* $flag:ident = $bit:expr => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(pub $repr);

        const _: () = assert!(
            $crate::command::bits::are_distinct(&[$($bit),*]),
            "two flags of one bit would be one flag"
        );

        impl $name {
            pub const NONE: $name = $name(0);
            $($(#[$flag_doc])* pub const $flag: $name = $name(1 << $bit);)*
            const TEXTS: &'static [($name, &'static str)] = &[$(($name::$flag, $text),)*];

            pub const fn or(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }

            pub const fn has(self, other: $name) -> bool {
                self.0 & other.0 != 0
            }

            /// The names of the bits that are set, in the order of the table.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::TEXTS.iter().filter(move |(bit, text)| self.has(*bit) && !text.is_empty()).map(|(_, text)| *text)
            }
        }
    };
}

pub(crate) use bits;

pub(crate) const fn are_distinct(bits: &[u32]) -> bool {
    let (mut at, mut seen) = (0, 0_u64);
    while at < bits.len() {
        if seen & (1 << bits[at]) != 0 {
            return false;
        }
        seen |= 1 << bits[at];
        at += 1;
    }
    true
}
