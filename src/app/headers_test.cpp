/* headers_test.cpp - the public headers compile as C++ and mean the same there. */
#include <celeriac.h>
#include <cstdio>
#include <cstring>

static json_t *add(cel_request *req)
{
    json_int_t x, y;

    if (cel_unpack(req, "x:I y:I", &x, &y) != CEL_OK)
        return nullptr;
    return json_integer(x + y);
}

CEL_MODULE(cxx)
{
    cel_task_options options = {};

    options.size = sizeof options;
    options.acks_late = 1;
    cel_task_declare(app, "cxx.add", add, &options);
}

int main()
{
    cel_app_options options = CEL_APP_OPTIONS_INIT;
    cel_send_options send = {};
    cel_app *app = nullptr;
    cel_error err = {};

    send.size = sizeof send;
    send.timeout_ms = 1000;
    options.broker = "memory://cxx";
    options.ignore_environment = true;
    if (cel_app_new(&app, &options, &err) != CEL_OK) {
        std::fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    celeriac_module_init(app);
    if (cel_send(app, nullptr, "cxx.add", json_pack("[i, i]", 1, 2), nullptr, &send, &err) !=
        CEL_OK) {
        std::fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    cel_app_free(app);
    return std::strcmp(cel_code_name(CEL_EINVAL), "CEL_EINVAL");
}
