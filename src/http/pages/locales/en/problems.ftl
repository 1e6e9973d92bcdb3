# What pages say of problems whose own words are for programs: the title, and what to do about it.

problem_bad_request = That could not be understood
    .next = Go back and try again. If it stays so, tell those who run the shop the request number.
problem_malformed_json = That could not be understood
    .next = Go back and try again. If it stays so, tell those who run the shop the request number.
problem_method_not_allowed = This page cannot be asked for in this way
    .next = Go back and try again, or go on from here.
problem_unsupported_media_type = That could not be understood
    .next = Go back and try again.
problem_headers_too_large = Your browser sent too much about itself
    .next = Delete this shop’s cookies, then try again.
problem_invalid_field = Something that was entered is not right
    .next = Correct it, then send it again.
problem_limit_reached = That is more than one person may have
    .next = Take fewer. What you have already counts; you find it under “My orders”.
problem_idempotency_key_reused = This form was sent before
    .next = Nothing more was done now. Load the page again to see what came of it, and send the form anew if you still want to.
problem_revision_required = This page is too old
    .next = Load it again, then decide.
