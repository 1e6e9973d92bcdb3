# What the shop says.

nav_orders = My orders
nav_account = Account
footer_clock = First come, first served, by the server’s clock.
home_title = Sales
home_intro = Limited stock at fixed times. Log in before a sale starts, and buy with one press.
home_open = Now and next
home_over = Over
home_none = There is no sale at the moment. Come back soon.
home_starts = Starts
home_more =
    { $count ->
        [one] and one more
       *[other] and { $count } more
    }
badge_live = On now
badge_upcoming = Soon
badge_over = Over
list_price = Usual price
to_home = All sales
log_in_title = Log in
log_in_wrong = No account has this name and password.
log_in_busy = Too many people are logging in right now. Please try again in a moment.
tried_too_often =
    { $seconds ->
        [one] This was tried too often from here. Try again in 1 second.
       *[other] This was tried too often from here. Try again in { $seconds } seconds.
    }
log_in_no_account = No account yet?
register = Register
flash_registered = Welcome! Your account is ready.
flash_logged_in = You are logged in.
flash_logged_out = You are logged out.
home_ends = Ends
flash_paid = Paid. Thank you!
flash_cancelled = The order is given up; its units are back on sale.
flash_closed = Nothing was done: the order had ended already.
flash_busy = That did not work just now. Nothing was lost; please try again.
flash_payment_refused = The payment was refused. The order is as it was.
flash_too_many_payments = You have begun to pay too often. Finish a payment that has begun.
flash_password_changed = Your password is changed. Other devices are logged out.
item_limit = { $count } per person
item_window = { $time } to pay
item_about = About this item
window_minutes =
    { $count ->
        [one] 1 minute
       *[other] { $count } minutes
    }
window_seconds =
    { $count ->
        [one] 1 second
       *[other] { $count } seconds
    }
quantity = Quantity
quantity_rule = Give a whole number from 1 to { $limit }.
quantity_limit = One person may have { $limit } of this item. What you have already counts; you find it under “My orders”.
confirm_title = Buy now?
confirm_guarded = This item is bought on its own page
confirm_guarded_advice = Its check keeps robots out and needs scripts. Switch JavaScript on for this shop, or use another browser or device, and buy on the item’s page.
item_without_scripts = Scripts are off, so nothing counts down here. The button leads to a page that asks once more; an item with a check can only be bought with scripts.
orders_title = My orders
orders_none = You have no order yet.
orders_incomplete = Older orders cannot be shown at the moment. None of them is lost.
orders_older = Older orders
order_left = { $time } left to pay
order_time_over = The time is over. Asking how it stands…
order_pay_until = Pay until
order_pay = Pay
order_cancel = Give up
order_sandbox = Sandbox: no real money moves.
order_no_payment = This shop takes no payment here.
order_provider = You pay on the payment provider’s page and come back here.
pay_title = To the payment
pay_onward = You are sent on to { $host }. If nothing happens, press the button.
pay_go = Go and pay
pay_back = Back to the order
order_item = See the item
order_number = Order number
order_placed = Ordered
status_reserved = Yours – not paid yet
status_paid = Paid
status_cancelled = Given up
status_expired = Not paid in time
status_refund_due = Refund due
status_refunded = Refunded
next_reserved = Pay before the time is over, or the units go back on sale.
next_paid = All done. The units are yours.
next_cancelled = You gave this order up. Nothing was charged.
next_expired = The time to pay ran out, and the units went back on sale. Nothing was charged.
next_refund_due = Your money came after the order had ended. It will be returned.
next_refunded = Your money came after the order had ended. It was returned.
user_name_hint = 2 to 32 letters, digits, “_”, “.” or “-”.
password_hint = At least 8 characters.
user_name_rule = The user name needs 2 to 32 letters, digits, “_”, “.” or “-”.
password_rule = The password needs 8 to 128 characters.
user_name_taken = This user name is taken. Please choose another.
register_have_account = Have an account?
password_now = Present password
password_new = New password
password_change = Change password
password_wrong = This is not your present password.
log_out_hint = On a shared device, log out when you are done.
timer_starts_in = Starts in { $time }
timer_days = { $days } d { $time }
button_loading = Looking…
button_guest = Log in to buy
button_upcoming = Starts { $time }
button_lead = Preparing…
button_slot = Your turn at { $time }
button_open = Buy now
button_asking = Asking…
button_bought = Pay within { $time }
button_paid = Paid
button_sold_out = Sold out
button_limit = You have yours
button_exhausted = No more tries
button_paused = Paused
button_ended = Over
button_busy = Very busy, trying again…
button_checking = Checking what became of it…
button_too_fast = Too fast, { $seconds } s
button_prepare_again = Preparing again…
button_prepare_by_hand = Prepare again
button_cannot_prepare = Cannot be prepared here
button_not_admitted = Not available to you
button_changed = Reload to see what changed
button_failed = Try again
live_bought = You have got it. Pay in time to keep it.
live_open = The sale is open. Buy now.
says_changed = Price or times have changed since this page was made.
says_bought = You have got it! It is held for you until then.
says_paid = Your order is paid, and the units are yours. The button shows it.
says_lapsed = The time to pay ran out, and the units went back on sale.
says_given_up = You gave your order up, and the units went back on sale.
says_limit = You hold as many as one person may. See your orders.
says_exhausted = You have ordered this and given it up as often as one person may.
says_not_admitted = This item cannot be sold to this account. Please ask customer service.
says_ended = This sale is over. There may be another one.
says_guest = Log in before { $time }: at the start there will be a crowd.
says_paused = The sale is paused for a moment. This page goes on by itself.
says_prepared = Prepared. Nothing more to do until it starts.
says_unpaid = { $count } unpaid: they may come back.
says_gone = All are paid for. Only a restock would bring more.
says_slot = Starts are spread over a moment. Your place is fixed; waiting loses nothing.
says_still_busy = Nothing was bought or lost. Please try again.
says_failed = That did not work. Request number { $request }
says_checking = The answer did not arrive. The same request is asked for again, so you cannot buy twice.
says_busy = Nothing is lost: the same request goes on.
says_early = A little early. It will be asked for at the start by itself.
says_patience = Still asking. Waiting loses nothing.
says_insecure = The check for this item needs a secure (https) address.
says_external = Please answer this check: it gets you your place.
says_prepare_failed = The check for this item did not succeed.
says_key_reused = That was another purchase. Please press once more.
