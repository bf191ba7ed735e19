//! Owns the classes of keyspace notifications and their one-letter spelling.

/// A set of event classes, as `notify-keyspace-events` spells them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u16);

impl Classes {
    pub const KEYSPACE: Classes = Classes(1 << 0);
    pub const KEYEVENT: Classes = Classes(1 << 1);
    pub const GENERIC: Classes = Classes(1 << 2);
    pub const STRING: Classes = Classes(1 << 3);
    pub const LIST: Classes = Classes(1 << 4);
    pub const SET: Classes = Classes(1 << 5);
    pub const HASH: Classes = Classes(1 << 6);
    pub const ZSET: Classes = Classes(1 << 7);
    pub const EXPIRED: Classes = Classes(1 << 8);
    pub const EVICTED: Classes = Classes(1 << 9);
    pub const STREAM: Classes = Classes(1 << 10);
    pub const KEYMISS: Classes = Classes(1 << 11);
    pub const MODULE: Classes = Classes(1 << 12);
    pub const NEW: Classes = Classes(1 << 13);
    /// What `A` stands for: every class but key-miss and new-key.
    pub const ALL: Classes = Classes(0b1_0111_1111_1100);

    const LETTERS: [(u8, Classes); 14] = [
        (b'g', Classes::GENERIC),
        (b'$', Classes::STRING),
        (b'l', Classes::LIST),
        (b's', Classes::SET),
        (b'h', Classes::HASH),
        (b'z', Classes::ZSET),
        (b'x', Classes::EXPIRED),
        (b'e', Classes::EVICTED),
        (b't', Classes::STREAM),
        (b'd', Classes::MODULE),
        (b'n', Classes::NEW),
        (b'K', Classes::KEYSPACE),
        (b'E', Classes::KEYEVENT),
        (b'm', Classes::KEYMISS),
    ];

    pub const fn union(self, other: Classes) -> Classes {
        Classes(self.0 | other.0)
    }

    pub const fn intersects(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn contains(self, other: Classes) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Parses the letters of `notify-keyspace-events`; `None` on a letter that no class has.
    pub fn parse(letters: &[u8]) -> Option<Classes> {
        let mut classes = Classes::default();
        for &letter in letters {
            let class = match letter {
                b'A' => Classes::ALL,
                _ => Self::LETTERS.iter().find(|(l, _)| *l == letter)?.1,
            };
            classes = classes.union(class);
        }
        Some(classes)
    }

    /// The canonical spelling that CONFIG GET answers. As in Redis, `A` hides an n.
    pub fn letters(self) -> String {
        let mut text = String::new();
        let all = self.contains(Classes::ALL);
        if all {
            text.push('A');
        }
        for (letter, class) in Self::LETTERS {
            let hidden = all && Classes::ALL.union(Classes::NEW).contains(class);
            if self.contains(class) && !hidden {
                text.push(letter as char);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_back_in_canonical_order() {
        assert_eq!(Classes::parse(b"KEA").unwrap().letters(), "AKE");
        assert_eq!(Classes::parse(b"Elg$").unwrap().letters(), "g$lE");
        assert_eq!(Classes::parse(b"").unwrap().letters(), "");
        assert_eq!(Classes::parse(b"g$lshzxetd").unwrap().letters(), "A");
        assert_eq!(Classes::parse(b"KEmnl").unwrap().letters(), "lnKEm");
        assert_eq!(Classes::parse(b"AnKm").unwrap().letters(), "AKm");
        assert_eq!(Classes::parse(b"q"), None);
    }
}
