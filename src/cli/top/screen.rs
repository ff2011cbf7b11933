//! The terminal of the live view: taken at the start, given back on any end (a key, a signal, an error, a panic). Here alone the view
//! meets keys, the clock and the daemon.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::client::Client;
use super::state::{Press, State};
use super::theme::Theme;
use super::view;
use crate::http::status::Whole;
use crate::live::now;

/// How long a key waits for nothing to happen; what arrived meanwhile is drawn then.
const TICK: Duration = Duration::from_millis(100);
/// Ages go on without an answer: drawn that often at least.
const TICKS_UNDRAWN: u32 = 5;
const PAGE: usize = 5;

/// The alternate screen in raw mode, for as long as this lives. A panic gives it back before its message is written.
pub struct Screen(DefaultTerminal);

impl Screen {
    pub fn open() -> io::Result<Self> {
        let opened = ratatui::try_init();
        // Raw mode may be on, and only the rest have failed.
        opened.map(Self).inspect_err(|_| ratatui::restore())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        // Once only: to leave the alternate screen again puts the cursor back to before a panic's message, which is then written over.
        if terminal::is_raw_mode_enabled().unwrap_or(true) {
            ratatui::restore();
        }
    }
}

/// Shows the daemon until a key or a signal ends it.
pub fn live(client: Client, interval: Duration, theme: Theme) -> io::Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }
    let mut state = State::new(client.url().to_owned());
    let mut screen = Screen::open()?;
    // An answer each way: whoever asks waits for the view, and ends when that is gone.
    let (answers, heard) = mpsc::sync_channel(1);
    let (alive, watched) = mpsc::sync_channel(0);
    std::thread::Builder::new().name("asks the daemon".to_owned()).spawn(move || ask(&client, interval, &answers, &watched))?;
    let result = until_ended(&mut screen.0, &mut state, theme, &heard, &ended);
    drop(alive);
    result
}

/// Asks again and again, an interval after each answer, until the view is gone.
fn ask(client: &Client, interval: Duration, answers: &SyncSender<Result<Whole, String>>, view: &mpsc::Receiver<()>) {
    while answers.send(client.status().map_err(|error| error.to_string())).is_ok() {
        if matches!(view.recv_timeout(interval), Err(RecvTimeoutError::Disconnected)) {
            return;
        }
    }
}

fn until_ended(
    terminal: &mut DefaultTerminal,
    state: &mut State,
    theme: Theme,
    heard: &mpsc::Receiver<Result<Whole, String>>,
    ended: &AtomicBool,
) -> io::Result<()> {
    let mut undrawn = TICKS_UNDRAWN;
    while !ended.load(Ordering::Relaxed) {
        match heard.try_recv() {
            Ok(answer) => {
                state.heard(answer, now());
                undrawn = TICKS_UNDRAWN;
            }
            Err(TryRecvError::Empty) => undrawn += 1,
            Err(TryRecvError::Disconnected) => return Err(io::Error::other("the thread that asks the daemon has ended")),
        }
        if undrawn >= TICKS_UNDRAWN {
            terminal.draw(|frame| view::draw(frame, state, theme, now()))?;
            undrawn = 0;
        }
        // A signal interrupts the wait; the flag is looked at next.
        let waiting = event::poll(TICK).or_else(|error| if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) })?;
        if waiting {
            let event = event::read()?;
            undrawn = TICKS_UNDRAWN;
            if let Event::Key(key) = event
                && let Some(press) = press(key)
                && state.pressed(press, now())
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Pure: what a key means; most mean nothing.
fn press(key: KeyEvent) -> Option<Press> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Press::Quit,
        _ if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => return None,
        KeyCode::Char('q') => Press::Quit,
        KeyCode::Esc => Press::Escape,
        KeyCode::Char('p' | ' ') => Press::Freeze,
        KeyCode::Char('?' | 'h') => Press::Help,
        KeyCode::Char('t') => Press::Stretch,
        KeyCode::Tab | KeyCode::Right => Press::NextList,
        KeyCode::BackTab | KeyCode::Left => Press::PreviousList,
        KeyCode::Up | KeyCode::Char('k') => Press::Up(1),
        KeyCode::Down | KeyCode::Char('j') => Press::Down(1),
        KeyCode::PageUp => Press::Up(PAGE),
        KeyCode::PageDown => Press::Down(PAGE),
        KeyCode::Home => Press::Up(usize::MAX),
        KeyCode::End => Press::Down(usize::MAX),
        KeyCode::Enter => Press::Open,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_help_says() {
        let key = |code, modifiers| press(KeyEvent::new(code, modifiers));
        let none = KeyModifiers::NONE;
        for (code, modifiers, expected) in [
            (KeyCode::Char('q'), none, Some(Press::Quit)),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Press::Quit)),
            (KeyCode::Char('c'), none, None),
            (KeyCode::Char('q'), KeyModifiers::ALT, None),
            (KeyCode::Esc, none, Some(Press::Escape)),
            (KeyCode::Char('p'), none, Some(Press::Freeze)),
            (KeyCode::Char('?'), KeyModifiers::SHIFT, Some(Press::Help)),
            (KeyCode::BackTab, KeyModifiers::SHIFT, Some(Press::PreviousList)),
            (KeyCode::Right, none, Some(Press::NextList)),
            (KeyCode::F(1), none, None),
        ] {
            assert_eq!(key(code, modifiers), expected, "{code:?}");
        }
        let released = KeyEvent::new_with_kind(KeyCode::Char('q'), none, KeyEventKind::Release);
        assert_eq!(press(released), None, "a key counts once");
    }
}
