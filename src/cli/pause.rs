//! `nerd pause` and `nerd resume`: every daemon on the database claims nothing, or nothing of a source, until that is taken back. What
//! is in flight is finished; nobody is restarted, nothing is unloaded.

use super::FAILED;
use super::arguments::{Pause, Resume};
use super::operate::{block_on, fail};
use crate::app;
use crate::settings::Settings;
use crate::store::ArticleStore;

pub fn pause(settings: &Settings, options: &Pause) -> anyhow::Result<u8> {
    let store = match app::open_store(settings) {
        Ok(store) => store,
        Err(error) => return Ok(fail(&error)),
    };
    let source = options.source.as_deref();
    let paused = match block_on(store.pause(source, options.reason.as_deref()))? {
        Ok(paused) => paused,
        Err(error) => return Ok(fail(&error)),
    };
    let what = source.unwrap_or("everything");
    let again = if paused.new { "paused" } else { "was paused already" };
    anstream::println!("{what} {again}: what is in flight is finished, nothing more of it is claimed until `{}`", resume_command(source));
    if !paused.waited_for {
        anstream::eprintln!("nerd: no article of {what} is in the queue now: is that the name in candidate_links.source?");
    }
    Ok(0)
}

pub fn resume(settings: &Settings, options: &Resume) -> anyhow::Result<u8> {
    let store = match app::open_store(settings) {
        Ok(store) => store,
        Err(error) => return Ok(fail(&error)),
    };
    let source = options.source.as_deref();
    let done = block_on(async {
        let resumed = store.resume(source).await?;
        Ok((resumed, store.pauses().await?))
    })?;
    let (resumed, left) = match done {
        Ok(done) => done,
        Err(error) => return Ok(fail(&error)),
    };
    let what = source.unwrap_or("everything");
    match resumed {
        true => anstream::println!("{what} resumed: the daemons claim again"),
        false => anstream::eprintln!("nerd: {what} is not paused"),
    }
    for pause in &left {
        anstream::println!("still paused: {pause}; `{}` takes it back", resume_command(pause.source.as_deref()));
    }
    Ok(if resumed { 0 } else { FAILED })
}

fn resume_command(source: Option<&str>) -> String {
    source.map_or_else(|| "nerd resume".to_owned(), |source| format!("nerd resume --source '{source}'"))
}
