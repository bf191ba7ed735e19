//! Whom CLIENT LIST and CLIENT KILL mean: clients that fit all that was said of them.

use protocol::{Args, parse_i64};

use super::args::{is, text};
use crate::Engine;
use crate::clients::client::{Client, Follows};
use crate::clients::line::{Class, flags};
use crate::clients::users::UserId;
use crate::error::CommandError;
use crate::ids::ClientId;

/// Every letter that stands for a flag in a client's line, here or elsewhere.
const FLAGS: &[u8] = b"bcdeirtuxABEIMNOPRSTU";

/// One thing that is said of clients.
#[derive(Debug)]
enum Trait<'a> {
    Id(Vec<i64>),
    Type(Class),
    Addr(&'a [u8]),
    Laddr(&'a [u8]),
    User(UserId),
    Flags(&'a [u8]),
    Name(&'a [u8]),
    LibName(&'a [u8]),
    LibVer(&'a [u8]),
    Db(usize),
    Capa(&'a [u8]),
    Ip(&'a [u8]),
    /// Seconds at least.
    Idle(u64),
    Age(u64),
}

#[derive(Debug, Default)]
pub(crate) struct ClientFilter<'a> {
    traits: Vec<(Trait<'a>, Wanted)>,
    spares_caller: bool,
}

/// What the clients are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    ToList,
    ToKill,
}

impl Asks {
    fn bad_id(self) -> CommandError {
        CommandError::err(match self {
            Asks::ToList => "Invalid client ID",
            Asks::ToKill => "client-id should be greater than 0",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    With,
    Without,
}

impl<'a> ClientFilter<'a> {
    /// The old form of CLIENT KILL names an address, and means whoever that is.
    pub(crate) fn of_addr(addr: &'a [u8]) -> ClientFilter<'a> {
        ClientFilter { traits: vec![(Trait::Addr(addr), Wanted::With)], spares_caller: false }
    }

    /// `OPTION value` pairs from the third argument on.
    pub(crate) fn parse(
        engine: &Engine,
        args: Args<'a>,
        asks: Asks,
    ) -> Result<ClientFilter<'a>, CommandError> {
        let spares_caller = asks == Asks::ToKill;
        let mut filter = ClientFilter { traits: Vec::new(), spares_caller };
        let mut at = 2;
        // What CLIENT LIST cannot read behind identifiers is a bad one to it.
        let mut no_option = CommandError::Syntax;
        while at < args.len() {
            let (option, Some(value)) = (args.at(at), args.get(at + 1)) else {
                return Err(no_option);
            };
            at += 2;
            if is(option, "skipme") {
                filter.spares_caller = match value {
                    value if is(value, "yes") => true,
                    value if is(value, "no") => false,
                    _ => return Err(CommandError::Syntax),
                };
                continue;
            }
            let (name, wanted) = match option.get(..4) {
                Some(not) if is(not, "not-") => (&option[4..], Wanted::Without),
                _ => (option, Wanted::With),
            };
            let said = match is(name, "id") {
                true => {
                    let ids: Vec<i64> =
                        (at - 1..args.len()).map_while(|at| parse_i64(args.at(at))).collect();
                    let bad = asks == Asks::ToKill && ids.iter().any(|id| *id <= 0);
                    if ids.is_empty() || bad {
                        return Err(asks.bad_id());
                    }
                    at += ids.len() - 1;
                    if asks == Asks::ToList {
                        no_option = asks.bad_id();
                    }
                    Trait::Id(ids)
                }
                false => Trait::parse(engine, name, value)?.ok_or_else(|| no_option.clone())?,
            };
            if wanted == Wanted::Without && matches!(said, Trait::Idle(_) | Trait::Age(_)) {
                return Err(CommandError::Syntax);
            }
            // What is said last of one thing counts.
            let kind = std::mem::discriminant(&said);
            filter
                .traits
                .retain(|(other, of)| (std::mem::discriminant(other), *of) != (kind, wanted));
            filter.traits.push((said, wanted));
        }
        Ok(filter)
    }

    /// The identifiers that were asked for.
    pub(crate) fn ids(&self) -> Option<&[i64]> {
        self.traits.iter().find_map(|(said, wanted)| match (said, wanted) {
            (Trait::Id(ids), Wanted::With) => Some(ids.as_slice()),
            _ => None,
        })
    }

    pub(crate) fn fits(&self, engine: &Engine, client: &Client, caller: ClientId) -> bool {
        !(self.spares_caller && client.id == caller)
            && self
                .traits
                .iter()
                .all(|(said, wanted)| said.is_true_of(engine, client) == (*wanted == Wanted::With))
    }
}

impl<'a> Trait<'a> {
    /// `None` for no name of anything.
    fn parse(
        engine: &Engine,
        name: &[u8],
        value: &'a [u8],
    ) -> Result<Option<Trait<'a>>, CommandError> {
        let positive = |what: &str| match parse_i64(value) {
            Some(n) if n > 0 => Ok(n as u64),
            Some(_) => Err(CommandError::err(format_args!("{what} should be greater than 0"))),
            None => Err(not_an_integer(what)),
        };
        let known = |letters: &[u8], what: &str| match value.iter().all(|c| letters.contains(c)) {
            true => Ok(value),
            false => Err(CommandError::err(format_args!(
                "Unknown {what} found in the provided filter: {}",
                text(value)
            ))),
        };
        Ok(Some(match name.to_ascii_lowercase().as_slice() {
            b"type" => Trait::Type(Class::parse(value).ok_or_else(|| {
                CommandError::err(format_args!("Unknown client type '{}'", text(value)))
            })?),
            b"addr" => Trait::Addr(value),
            b"laddr" => Trait::Laddr(value),
            b"user" => Trait::User(engine.users.find(value).ok_or_else(|| {
                CommandError::err(format_args!("No such user '{}'", text(value)))
            })?),
            b"flags" => Trait::Flags(known(FLAGS, "flags")?),
            b"name" => Trait::Name(value),
            b"lib-name" => Trait::LibName(value),
            b"lib-ver" => Trait::LibVer(value),
            b"db" => Trait::Db(database(engine, value)?),
            b"capa" => Trait::Capa(known(b"r", "capa")?),
            b"ip" => Trait::Ip(value),
            b"idle" => Trait::Idle(positive("idle")?),
            b"maxage" => Trait::Age(positive("maxage")?),
            _ => return Ok(None),
        }))
    }

    fn is_true_of(&self, engine: &Engine, client: &Client) -> bool {
        let seconds = |since_us: u64| engine.now.mono_us.saturating_sub(since_us) / 1_000_000;
        match self {
            Trait::Id(ids) => ids.contains(&(client.id.id as i64)),
            Trait::Type(class) => Class::of(client) == *class,
            Trait::Addr(addr) => client.peer.addr.as_bytes() == *addr,
            Trait::Laddr(laddr) => client.peer.laddr.as_bytes() == *laddr,
            Trait::User(user) => client.user == *user && !client.is_internal(),
            Trait::Flags(letters) => {
                let set = flags(engine, client);
                letters.iter().all(|letter| set.as_bytes().contains(letter))
            }
            Trait::Name(name) => client.name == *name,
            Trait::LibName(name) => client.lib_name == *name,
            Trait::LibVer(version) => client.lib_ver == *version,
            Trait::Db(db) => client.db == *db,
            Trait::Capa(letters) => letters.is_empty() || client.follows != Follows::Nowhere,
            Trait::Ip(ip) => {
                let addr = &client.peer.addr;
                addr.rsplit_once(':').map_or(&**addr, |(host, _)| host).as_bytes() == *ip
            }
            Trait::Idle(least_s) => seconds(client.last_command_mono_us) >= *least_s,
            Trait::Age(least_s) => seconds(client.created_mono_us) >= *least_s,
        }
    }
}

fn not_an_integer(what: &str) -> CommandError {
    CommandError::err(format_args!("{what} is not an integer or out of range"))
}

fn database(engine: &Engine, value: &[u8]) -> Result<usize, CommandError> {
    let number = parse_i64(value).ok_or_else(|| not_an_integer("DB"))?;
    let db = usize::try_from(number).ok().filter(|db| *db < engine.keyspace.len());
    db.ok_or_else(|| {
        let last = engine.keyspace.len() - 1;
        CommandError::err(format_args!("DB number should be between 0 and {last}"))
    })
}
