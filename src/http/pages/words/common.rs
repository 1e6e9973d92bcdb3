//! What both the shop and the console say.

super::words! {
    brand();
    skip_to_content();
    main_navigation();
    language_choice();
    form_errors();
    request_number();
    page_missing();
    page_missing_advice();
    place_unknown();
    place_unknown_advice();
    place_beginning();
    user_name();
    password();
    log_in();
    log_out();
}
