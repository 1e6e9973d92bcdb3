# 商城与控制台共用的文字。

brand = 秒杀
skip_to_content = 跳到正文
main_navigation = 主导航
language_choice = 语言
form_errors = 请检查以下内容
request_number = 请求编号
page_missing = 没有这个页面
page_missing_advice = 请检查地址，或从这里继续。
place_unknown = 列表中没有这个位置
place_unknown_advice = 网址与列表给出的不符，请从头看起。
place_beginning = 回到列表开头
user_name = 用户名
password = 密码
log_in = 登录
log_out = 退出登录
