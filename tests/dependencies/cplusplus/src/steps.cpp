// What services of C++ use of its library: exceptions, streams, threads, files, objects that are made before main and end after it.

#include <algorithm>
#include <any>
#include <array>
#include <atomic>
#include <chrono>
#include <clocale>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iomanip>
#include <iostream>
#include <locale>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <random>
#include <regex>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <typeinfo>
#include <unordered_map>
#include <variant>
#include <vector>

namespace {

int failures = 0;

template <typename Value> void show(const char *what, const Value &value) {
    std::cout << what << ": " << value << '\n';
}

void expect(const char *what, bool is_so) {
    show(what, is_so ? "yes" : "no");
    failures += !is_so;
}

// Made before main, ended behind it: in the other order.
struct Told {
    const char *name;
    explicit Told(const char *name) : name(name) { std::printf("%s begins\n", name); }
    ~Told() { std::printf("%s ends\n", name); }
};

Told first("the first object");
Told second("the second object");

struct Base {
    virtual ~Base() = default;
    virtual std::string name() const { return "base"; }
};
struct Derived : Base {
    std::string name() const override { return "derived"; }
};
struct Other : Base {};

struct Failure : std::runtime_error {
    int code;
    Failure(const std::string &what, int code) : std::runtime_error(what), code(code) {}
};

struct Unwound {
    int &count;
    explicit Unwound(int &count) : count(count) {}
    ~Unwound() { ++count; }
};

int deep(int depth, int &count) {
    Unwound unwound(count);
    if (depth == 0) throw Failure("deep down", 7);
    return deep(depth - 1, count) + 1;
}

void exceptions() {
    int count = 0;
    try {
        deep(50, count);
        expect("thrown", false);
    } catch (const std::exception &error) {
        show("caught", error.what());
        show("objects unwound", count);
        auto failure = dynamic_cast<const Failure *>(&error);
        show("code", failure ? failure->code : -1);
    }
    try {
        try {
            throw 5;
        } catch (int &number) {
            number += 1;
            throw;
        }
    } catch (int number) {
        show("thrown again", number);
    }
    try {
        try {
            throw std::logic_error("inner");
        } catch (...) {
            std::throw_with_nested(std::runtime_error("outer"));
        }
    } catch (const std::exception &outer) {
        show("outer", outer.what());
        try {
            std::rethrow_if_nested(outer);
        } catch (const std::exception &inner) {
            show("inner", inner.what());
        }
    }
    std::exception_ptr pointer;
    std::thread([&pointer] {
        try {
            throw std::out_of_range("from a thread");
        } catch (...) {
            pointer = std::current_exception();
        }
    }).join();
    try {
        std::rethrow_exception(pointer);
    } catch (const std::out_of_range &error) {
        show("carried", error.what());
    }
    try {
        (void)std::vector<int>(3).at(5);
    } catch (const std::out_of_range &error) {
        show("at", error.what());
    }
    try {
        (void)std::stoi("no number");
    } catch (const std::invalid_argument &error) {
        show("stoi", error.what());
    }
    try {
        volatile std::size_t huge = static_cast<std::size_t>(1) << 46;
        std::unique_ptr<char[]> memory(new char[huge]);
        expect("too much memory is given", !memory);
    } catch (const std::bad_alloc &error) {
        show("new", error.what());
    }
    try {
        std::function<int()> empty;
        empty();
    } catch (const std::bad_function_call &error) {
        show("empty", error.what());
    }
    try {
        throw std::system_error(ENOENT, std::generic_category(), "opening");
    } catch (const std::system_error &error) {
        show("system error", error.what());
    }
    expect("exceptions under way", std::uncaught_exceptions() == 0);
}

void kinds() {
    std::unique_ptr<Base> base = std::make_unique<Derived>();
    show("virtual", base->name());
    expect("is derived", dynamic_cast<Derived *>(base.get()) != nullptr);
    expect("is not other", dynamic_cast<Other *>(base.get()) == nullptr);
    expect("same type", typeid(*base) == typeid(Derived));
    try {
        (void)dynamic_cast<Other &>(*base);
    } catch (const std::bad_cast &error) {
        show("cast", error.what());
    }
    std::any any = std::string("text");
    show("any", std::any_cast<std::string>(any));
    try {
        (void)std::any_cast<int>(any);
    } catch (const std::bad_any_cast &error) {
        show("any cast", error.what());
    }
    std::variant<int, std::string> variant = 3;
    variant = "three";
    show("variant", std::get<std::string>(variant));
    show("optional", std::optional<int>().value_or(4));
}

void streams() {
    std::ostringstream out;
    out << std::setw(6) << std::setfill('*') << 42 << ' ' << std::hex << std::showbase << 255 << ' ' << std::dec << std::fixed
        << std::setprecision(3) << 3.14159 << ' ' << std::scientific << 12345.678 << ' ' << std::boolalpha << true << ' '
        << std::left << std::setw(5) << "ab" << '|';
    show("formatted", out.str());
    std::istringstream in("12 3.5 word 0x1f rest of it");
    int integer;
    double number;
    std::string word, rest;
    unsigned hex;
    in >> integer >> number >> word >> std::hex >> hex;
    std::getline(in, rest);
    std::cout << "read: " << integer << ' ' << number << ' ' << word << ' ' << hex << rest << '\n';
    std::istringstream bad("x");
    bad >> integer;
    expect("a bad number fails", bad.fail());
    bad.clear();
    bad.exceptions(std::ios::failbit);
    try {
        bad >> integer;
    } catch (const std::ios_base::failure &error) {
        expect("the failure is told", std::string(error.what()).find("iostream") != std::string::npos);
    }
    std::wostringstream wide;
    wide << L"wide " << 7 << L' ' << 2.5;
    expect("wide", wide.str() == L"wide 7 2.5");
    show("to_string", std::to_string(1.5) + std::to_string(-7L));
    show("stod", std::stod("2.25e2"));
    expect("wide number", std::stoi(L"123") == 123 && std::stod(L"0.5") == 0.5);
    char text[32];
    std::snprintf(text, sizeof text, "%2$s-%1$05d", 42, "by position");
    show("printf", text);
    std::cerr << "";
    std::clog << std::flush;
}

void locales() {
    show("classic", std::locale::classic().name());
    show("global", std::locale().name());
    show("setlocale", std::setlocale(LC_ALL, nullptr));
    try {
        std::locale unknown("xx_XX.none");
        expect("an unknown locale is refused", false);
    } catch (const std::runtime_error &) {
        expect("an unknown locale is refused", true);
    }
    std::locale classic = std::locale::classic();
    expect("kinds of characters", std::isalpha('x', classic) && !std::isalpha('1', classic) && std::isspace(L' ', classic));
    show("upper", std::toupper('q', classic));
    std::string text = "Some Text";
    std::use_facet<std::ctype<char>>(classic).toupper(&text[0], &text[0] + text.size());
    show("all upper", text);
    struct Grouped : std::numpunct<char> {
        char do_thousands_sep() const override { return '\''; }
        std::string do_grouping() const override { return "\3"; }
    };
    std::ostringstream out;
    out.imbue(std::locale(classic, new Grouped));
    out << 1234567;
    show("grouped", out.str());
    std::tm date{};
    date.tm_year = 124;
    date.tm_mon = 1;
    date.tm_mday = 29;
    date.tm_wday = 4;
    std::ostringstream when;
    when << std::put_time(&date, "%A, %d %B %Y");
    show("put_time", when.str());
    std::tm parsed{};
    std::istringstream from("2021-03-04 05:06:07");
    from >> std::get_time(&parsed, "%Y-%m-%d %H:%M:%S");
    std::cout << "get_time: " << parsed.tm_year << ' ' << parsed.tm_mon << ' ' << parsed.tm_mday << ' ' << parsed.tm_sec << '\n';
    std::ostringstream money;
    money.imbue(classic);
    money << std::put_money("1234");
    show("put_money", money.str());
    std::wcout.good();
}

struct Counted {
    std::atomic<int> &ended;
    int value = 0;
    explicit Counted(std::atomic<int> &ended) : ended(ended) {}
    ~Counted() { ++ended; }
};

std::atomic<int> ended_locals{0};
thread_local Counted counted(ended_locals);
thread_local std::string own = "own";

void threads() {
    std::mutex mutex;
    std::condition_variable changed;
    int turn = 0, sum = 0;
    std::vector<std::thread> all;
    for (int index = 0; index < 8; ++index) {
        all.emplace_back([&, index] {
            counted.value = index;
            own += std::to_string(index);
            std::unique_lock<std::mutex> lock(mutex);
            changed.wait(lock, [&] { return turn == index; });
            sum = 10 * sum + counted.value + static_cast<int>(own.size());
            ++turn;
            changed.notify_all();
        });
    }
    for (auto &thread : all) thread.join();
    show("in turn", sum);
    show("thread-locals ended", ended_locals.load());
    std::once_flag once;
    int calls = 0;
    for (int index = 0; index < 3; ++index) std::call_once(once, [&] { ++calls; });
    show("called once", calls);
    std::once_flag failing;
    try {
        std::call_once(failing, [] { throw std::runtime_error("not yet"); });
    } catch (const std::runtime_error &error) {
        show("once failed", error.what());
    }
    std::call_once(failing, [&] { ++calls; });
    show("and then", calls);
    auto answer = std::async(std::launch::async, [] { return 6 * 7; });
    show("async", answer.get());
    auto failed = std::async(std::launch::async, []() -> int { throw Failure("async", 1); });
    try {
        failed.get();
    } catch (const Failure &error) {
        show("async failed", error.what());
    }
    std::promise<std::string> promise;
    auto future = promise.get_future();
    std::thread giver([&promise] { promise.set_value("promised"); });
    show("future", future.get());
    giver.join();
    {
        std::promise<int> broken;
        future = {};
        auto nothing = broken.get_future();
        broken = {};
        try {
            nothing.get();
        } catch (const std::future_error &error) {
            show("broken", error.code() == std::future_errc::broken_promise);
        }
    }
    std::unique_lock<std::mutex> lock(mutex);
    auto before = std::chrono::steady_clock::now();
    auto status = changed.wait_for(lock, std::chrono::milliseconds(20));
    expect("waiting ends in time", status == std::cv_status::timeout &&
                                       std::chrono::steady_clock::now() - before >= std::chrono::milliseconds(20));
    std::shared_mutex shared;
    std::shared_lock<std::shared_mutex> reader(shared);
    expect("readers share", shared.try_lock_shared());
    shared.unlock_shared();
    expect("writers do not", !shared.try_lock());
    std::timed_mutex timed;
    timed.lock();
    expect("a timed mutex gives up", !std::async(std::launch::async, [&] { return timed.try_lock_for(std::chrono::milliseconds(5)); }).get());
    timed.unlock();
    expect("threads have numbers", std::this_thread::get_id() != std::thread::id());
    expect("there are processors", std::thread::hardware_concurrency() >= 1);
    static std::atomic<long> added{0};
    std::vector<std::thread> adders;
    for (int index = 0; index < 4; ++index) adders.emplace_back([] { for (int n = 0; n < 10000; ++n) added += 2; });
    for (auto &thread : adders) thread.join();
    show("added", added.load());
}

void files() {
    namespace fs = std::filesystem;
    fs::path folder = fs::temp_directory_path() / "steps-of-cplusplus";
    fs::remove_all(folder);
    expect("folders are made", fs::create_directories(folder / "a" / "b"));
    {
        std::ofstream out(folder / "a" / "file");
        out << "one line\nanother " << 2 << '\n';
    }
    show("size", fs::file_size(folder / "a" / "file"));
    std::ifstream in(folder / "a" / "file");
    std::string line;
    int lines = 0;
    while (std::getline(in, line)) ++lines;
    show("lines", lines);
    in.clear();
    in.seekg(4);
    in >> line;
    show("sought", line);
    std::fstream both(folder / "a" / "file", std::ios::in | std::ios::out | std::ios::ate | std::ios::binary);
    both << "more";
    both.seekg(0, std::ios::beg);
    std::ostringstream all;
    all << both.rdbuf();
    show("length", all.str().size());
    fs::copy(folder / "a", folder / "c", fs::copy_options::recursive);
    fs::rename(folder / "c" / "file", folder / "c" / "renamed");
    fs::create_symlink("renamed", folder / "c" / "link");
    std::vector<std::string> names;
    for (const auto &entry : fs::recursive_directory_iterator(folder))
        names.push_back(entry.path().lexically_relative(folder).generic_string() + (entry.is_directory() ? "/" : ""));
    std::sort(names.begin(), names.end());
    for (const auto &name : names) show("found", name);
    show("read link", fs::read_symlink(folder / "c" / "link").string());
    show("canonical", fs::canonical(folder / "c" / "link").filename().string());
    std::error_code error;
    expect("no size", fs::file_size(folder / "nothing", error) == static_cast<std::uintmax_t>(-1));
    show("missing", error.message());
    try {
        fs::remove(folder / "a");
    } catch (const fs::filesystem_error &failure) {
        show("not empty", failure.code().message());
    }
    fs::permissions(folder / "a" / "file", fs::perms::owner_read);
    show("permissions", static_cast<int>(fs::status(folder / "a" / "file").permissions()));
    fs::resize_file(folder / "a" / "file", 3);
    fs::last_write_time(folder / "a" / "file", fs::file_time_type{});
    expect("space is told", fs::space(folder).capacity > 0);
    show("removed", fs::remove_all(folder));
    expect("nothing is opened that is not there", !std::ifstream(folder / "nothing").is_open());
}

void containers() {
    std::map<std::string, int> map;
    for (std::string word : {"b", "a", "c", "a"}) ++map[word];
    for (const auto &[word, count] : map) std::cout << word << '=' << count << ' ';
    std::cout << '\n';
    std::unordered_map<std::string, int> table;
    for (int index = 0; index < 1000; ++index) table[std::to_string(index)] = index;
    show("table", table.size());
    std::vector<int> numbers(1000);
    std::iota(numbers.begin(), numbers.end(), 0);
    std::shuffle(numbers.begin(), numbers.end(), std::mt19937(5));
    show("shuffled", numbers[0]);
    std::stable_sort(numbers.begin(), numbers.end(), std::greater<>());
    show("sorted", numbers[0]);
    std::mt19937_64 generator(9);
    show("random", generator());
    show("normal", std::normal_distribution<>()(generator));
    std::random_device device;
    expect("true random", device() != device() || device() != device());
    std::regex pattern("(\\w+)@(\\w+)\\.org");
    std::smatch match;
    std::string text = "write to someone@example.org today";
    if (std::regex_search(text, match, pattern)) show("matched", match[1].str() + " at " + match[2].str());
    show("replaced", std::regex_replace(text, std::regex("[aeiou]"), "-"));
    try {
        std::regex broken("(");
    } catch (const std::regex_error &error) {
        expect("a bad pattern is told", error.code() == std::regex_constants::error_paren);
    }
    auto shared = std::make_shared<int>(3);
    std::weak_ptr<int> weak = shared;
    show("shared", shared.use_count());
    shared.reset();
    expect("expired", weak.expired());
    show("power", std::pow(2.0, 0.5));
    show("gamma", std::tgamma(5.5));
    show("lgamma", std::lgamma(0.5));
    auto when = std::chrono::system_clock::now().time_since_epoch();
    expect("the clock goes", when > std::chrono::hours(24 * 365 * 50));
}

} // namespace

extern "C" int steps() {
    exceptions();
    kinds();
    streams();
    locales();
    threads();
    files();
    containers();
    std::cout << std::flush;
    return failures;
}

extern "C" int call_back(int (*function)(int)) {
    int total = 0;
    for (int index = 0; index < 4; ++index) total += function(index);
    return total;
}
