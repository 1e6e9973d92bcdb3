# What both the shop and the console say.

brand = Flash sale
skip_to_content = Skip to content
main_navigation = Main
language_choice = Language
form_errors = Please check these fields
request_number = Request number
page_missing = There is no such page
page_missing_advice = Check the address, or go on from here.
place_unknown = This place in the list is not known
place_unknown_advice = The address is not as the list shows it. Go on from the beginning.
place_beginning = To the beginning of the list
user_name = User name
password = Password
log_in = Log in
log_out = Log out
