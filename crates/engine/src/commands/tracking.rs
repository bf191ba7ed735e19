//! CLIENT TRACKING and its like: what a client says of its cache. The rows are those of CLIENT.

use protocol::Args;

use super::args::{int, is};
use crate::door::ctx::Ctx;
use crate::error::CommandError;
use crate::events::tracking::{Mode, Options};
use crate::ids::ClientId;

pub(crate) fn tracking(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let options = parse_options(ctx, args)?;
    let (id, word) = (ctx.client.id, args.at(2));
    if is(word, "on") {
        ctx.engine.tracking.enable(id, options)?;
    } else if is(word, "off") {
        ctx.engine.tracking.disable(id);
    } else {
        return Err(CommandError::Syntax);
    }
    ctx.client.out.ok();
    Ok(())
}

fn parse_options(ctx: &Ctx<'_>, args: Args<'_>) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let mut at = 3;
    while let Some(option) = args.get(at) {
        let value = args.get(at + 1);
        at += 1;
        match value {
            Some(value) if is(option, "redirect") => {
                if options.redirect.is_some() {
                    let refusal = "A client can only redirect to a single other client";
                    return Err(CommandError::err(refusal));
                }
                options.redirect = Some(connected(ctx, int(value)?)?);
                at += 1;
            }
            Some(value) if is(option, "prefix") => {
                options.prefixes.push(value.into());
                at += 1;
            }
            _ if is(option, "bcast") => options.bcast = true,
            _ if is(option, "optin") => options.optin = true,
            _ if is(option, "optout") => options.optout = true,
            _ if is(option, "noloop") => options.noloop = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    Ok(options)
}

/// The client of that number, which has to be there now.
fn connected(ctx: &Ctx<'_>, number: i64) -> Result<ClientId, CommandError> {
    let ids = ctx.engine.clients().map(|client| client.id).chain([ctx.client.id]);
    let found = ids.into_iter().find(|id| id.id as i64 == number);
    found.ok_or_else(|| CommandError::err("The client ID you want redirect to does not exist"))
}

pub(crate) fn caching(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let Some(tracked) = ctx.engine.tracking.get_mut(ctx.client.id) else {
        return Err(CommandError::err(
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    };
    let (mode, refusal) = match args.at(2) {
        word if is(word, "yes") => (
            Mode::OptIn,
            "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        ),
        word if is(word, "no") => (
            Mode::OptOut,
            "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        _ => return Err(CommandError::Syntax),
    };
    if tracked.mode != mode {
        return Err(CommandError::err(refusal));
    }
    tracked.caching = true;
    ctx.client.out.ok();
    Ok(())
}

pub(crate) fn getredir(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let redirect = ctx.engine.redirect_number(ctx.client.id);
    ctx.client.out.int(redirect);
    Ok(())
}

pub(crate) fn trackinginfo(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let redirect = ctx.engine.redirect_number(ctx.client.id);
    let tracked = ctx.engine.tracking.get(ctx.client.id);
    let has = |mode| tracked.is_some_and(|tracked| tracked.mode == mode);
    let caching = tracked.is_some_and(|tracked| tracked.caching);
    let flags = [
        (tracked.is_none(), "off"),
        (tracked.is_some(), "on"),
        (has(Mode::Bcast), "bcast"),
        (has(Mode::OptIn), "optin"),
        (has(Mode::OptIn) && caching, "caching-yes"),
        (has(Mode::OptOut), "optout"),
        (has(Mode::OptOut) && caching, "caching-no"),
        (tracked.is_some_and(|tracked| tracked.noloop), "noloop"),
        (tracked.is_some_and(|tracked| tracked.is_broken), "broken_redirect"),
    ];
    let out = &mut ctx.client.out;
    out.map(3);
    out.bulk(b"flags");
    out.set(flags.iter().filter(|(is_set, _)| *is_set).count());
    flags.iter().filter(|(is_set, _)| *is_set).for_each(|(_, flag)| out.bulk(flag.as_bytes()));
    out.bulk(b"redirect");
    out.int(redirect);
    out.bulk(b"prefixes");
    out.array(tracked.map_or(0, |tracked| tracked.prefixes.len()));
    tracked.into_iter().flat_map(|t| &t.prefixes).for_each(|prefix| out.bulk(prefix));
    Ok(())
}
