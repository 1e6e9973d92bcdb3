//! Pages for browsers: the shop's and the console's, rendered here from `templates/`, in the words of
//! `locales/`, with the styles and scripts of `assets/`.
//!
//! `shop/` and `console/` have a table of routes each and a file for each page. What pages share: `shell`
//! (the frame around each), `words`, `money` and `times` (what they say), `form` and `flash` (what
//! visitors enter and hear back), `headers` (what may run, who may keep it), `assets` and `files` (what
//! they refer to), `rendered` (pages that are the same for everybody), `problem` (what went wrong).
//! `docs` is the API's own page, `export` makes files of pages. `live/` has the figures of the moment and their
//! history, `visits` the views of pages, `media` and `pictures` what items look like.
//!
//! Pages call the functions behind the API, never HTTP, and decide nothing.

pub mod assets;
pub mod console;
pub mod docs;
pub mod export;
pub mod files;
pub mod flash;
pub mod form;
pub mod headers;
pub mod language;
pub mod live;
pub mod media;
pub mod money;
pub mod multipart;
pub mod pictures;
pub mod problem;
pub mod rendered;
pub mod shell;
pub mod shop;
pub mod times;
pub mod visits;
pub mod words;
