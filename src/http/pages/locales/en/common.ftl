# What both the shop and the console say.

brand = Flash sale
skip_to_content = Skip to content
main_navigation = Main
language_choice = Language
form_errors = Please check these fields
request_number = Request number
page_missing = There is no such page
page_missing_advice = Check the address, or go on from here.
user_name = User name
password = Password
log_in = Log in
log_out = Log out
