#include "data/pickle.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <unordered_map>

namespace lethe::pickle {
namespace {

// A checkpoint of 1000 tensors with optimizer state has about 10^5 opcodes. One makes at most one Value (about 100
// bytes), so a hostile file stays near a hundred megabytes, and usually far below: Python writes containers in batches
// of 1000 items, so the stack is never high, and its own limit of recursion keeps nesting below 1000.
constexpr std::size_t max_steps = 1'000'000;
constexpr std::size_t max_stack = 100'000;
constexpr int32_t max_depth = 1000;
constexpr uint64_t max_integer_bytes = 255;

// Opcode bytes, named as in pickletools.
enum Op : uint8_t {
    MARK = '(',
    STOP = '.',
    POP = '0',
    POP_MARK = '1',
    DUP = '2',
    INT = 'I',
    BININT = 'J',
    BININT1 = 'K',
    BININT2 = 'M',
    LONG = 'L',
    LONG1 = 0x8a,
    LONG4 = 0x8b,
    BINFLOAT = 'G',
    NONE = 'N',
    NEWTRUE = 0x88,
    NEWFALSE = 0x89,
    BINSTRING = 'T',
    SHORT_BINSTRING = 'U',
    BINUNICODE = 'X',
    SHORT_BINUNICODE = 0x8c,
    BINUNICODE8 = 0x8d,
    BINBYTES = 'B',
    SHORT_BINBYTES = 'C',
    BINBYTES8 = 0x8e,
    BYTEARRAY8 = 0x96,
    EMPTY_TUPLE = ')',
    TUPLE = 't',
    TUPLE1 = 0x85,
    TUPLE2 = 0x86,
    TUPLE3 = 0x87,
    EMPTY_LIST = ']',
    LIST = 'l',
    APPEND = 'a',
    APPENDS = 'e',
    EMPTY_SET = 0x8f,
    ADDITEMS = 0x90,
    EMPTY_DICT = '}',
    DICT = 'd',
    SETITEM = 's',
    SETITEMS = 'u',
    BINPUT = 'q',
    LONG_BINPUT = 'r',
    MEMOIZE = 0x94,
    BINGET = 'h',
    LONG_BINGET = 'j',
    GLOBAL = 'c',
    STACK_GLOBAL = 0x93,
    REDUCE = 'R',
    NEWOBJ = 0x81,
    BUILD = 'b',
    BINPERSID = 'Q',
    PROTO = 0x80,
    FRAME = 0x95,
};

class Interpreter {
public:
    Interpreter(ByteReader& in, bool (*is_known)(std::string_view)) : in_(in), is_known_(is_known) {}

    Pickle run() {
        for (;;) {
            spend(1);
            const uint8_t op = in_.u8();
            if (op == STOP) {
                result_.root = pop();
                return std::move(result_);
            }
            if (!constant(op) && !number(op) && !text(op) && !stack(op) && !tuple(op) && !container(op) && !memo(op) &&
                !object(op))
                fail("pickle: opcode ", int{op}, " at byte ", in_.position() - 1, " is not one that torch.save writes");
        }
    }

private:
    void spend(std::size_t steps) {
        check(steps <= steps_left_, "pickle: more than ", max_steps, " steps, no checkpoint is that complicated");
        steps_left_ -= steps;
    }
    Value* make(Kind kind) {
        Value& value = result_.values.emplace_back();
        value.kind = kind;
        return &value;
    }
    void check_height() const {
        check(stack_.size() + marks_.size() < max_stack, "pickle: more than ", max_stack,
              " values on its stack, no checkpoint is that complicated");
    }
    void push(Value* value) {
        check_height();
        stack_.push_back(value);
    }
    // The containers in `container` may be as deep as Python can write them.
    void deepen(Value& container, const std::vector<const Value*>& items) {
        for (const Value* item : items) container.depth = std::max(container.depth, item->depth + 1);
        check(container.depth <= max_depth, "pickle: containers nested more than ", max_depth,
              " deep, no checkpoint is that complicated");
    }
    bool push_new(Kind kind) {
        push(make(kind));
        return true;
    }
    bool push_integer(Kind kind, int64_t integer) {
        Value* value = make(kind);
        value->integer = integer;
        push(value);
        return true;
    }
    bool push_text(uint64_t bytes) {
        Value* value = make(Kind::text);
        value->text = in_.text(bytes);
        push(value);
        return true;
    }

    // Nothing below the newest mark may be reached before the mark is consumed.
    std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
    void need(std::size_t count) const {
        check(stack_.size() - floor() >= count, "pickle: an opcode needs more values than there are, before byte ",
              in_.position());
    }
    Value* top() const {
        need(1);
        return stack_.back();
    }
    Value* pop() {
        Value* value = top();
        stack_.pop_back();
        return value;
    }
    std::vector<const Value*> pop_last(std::size_t count) {
        need(count);
        const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
        std::vector<const Value*> values(first, stack_.end());
        stack_.erase(first, stack_.end());
        return values;
    }
    std::vector<const Value*> pop_mark() {
        check(!marks_.empty(), "pickle: no mark on the stack, before byte ", in_.position());
        std::vector<const Value*> values = pop_last(stack_.size() - marks_.back());
        marks_.pop_back();
        return values;
    }

    bool constant(uint8_t op) {
        switch (op) {
            case NONE:
                return push_new(Kind::none);
            case NEWTRUE:
                return push_integer(Kind::boolean, 1);
            case NEWFALSE:
                return push_integer(Kind::boolean, 0);
            case PROTO: {
                const int protocol = in_.u8();
                check(protocol <= 5, "pickle: unknown protocol ", protocol);
                return true;
            }
            case FRAME:
                in_.take(sizeof(uint64_t));
                return true;  // only a hint for buffering
            default:
                return false;
        }
    }

    bool number(uint8_t op) {
        switch (op) {
            case BININT:
                return push_integer(Kind::integer, in_.little_endian<int32_t>());
            case BININT1:
                return push_integer(Kind::integer, in_.u8());
            case BININT2:
                return push_integer(Kind::integer, in_.little_endian<uint16_t>());
            case LONG1:
                return long_integer(in_.u8());
            case LONG4:
                return long_integer(in_.little_endian<uint32_t>());
            case INT:
            case LONG:
                return decimal(in_.line());
            case BINFLOAT: {  // the one big-endian number of the format
                uint64_t bits = 0;
                for (const uint8_t byte : in_.take(sizeof(bits))) bits = bits << 8 | byte;
                push(make(Kind::real));
                stack_.back()->real = std::bit_cast<double>(bits);
                return true;
            }
            default:
                return false;
        }
    }

    bool long_integer(uint64_t bytes) {
        check(bytes <= max_integer_bytes, "pickle: an integer of ", bytes, " bytes");
        if (bytes > sizeof(uint64_t)) {
            push_text(bytes);
            stack_.back()->kind = Kind::big_integer;
            return true;
        }
        const auto digits = in_.take(bytes);
        uint64_t value = !digits.empty() && (digits.back() & 0x80) ? ~uint64_t{0} : 0;  // sign extension
        for (std::size_t i = digits.size(); i-- > 0;) value = value << 8 | digits[i];
        return push_integer(Kind::integer, static_cast<int64_t>(value));
    }

    // "12", "12L", and the booleans of protocol 1: "00", "01".
    bool decimal(std::string digits) {
        if (digits == "00" || digits == "01") return push_integer(Kind::boolean, digits == "01");
        if (digits.ends_with('L')) digits.pop_back();
        int64_t value = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        check(error == std::errc{} && end == digits.data() + digits.size(), "pickle: '", printable(digits),
              "' is not a 64-bit integer");
        return push_integer(Kind::integer, value);
    }

    bool text(uint8_t op) {
        switch (op) {
            case SHORT_BINSTRING:
            case SHORT_BINUNICODE:
            case SHORT_BINBYTES:
                return push_text(in_.u8());
            case BINSTRING:
            case BINUNICODE:
            case BINBYTES:
                return push_text(in_.little_endian<uint32_t>());
            case BINUNICODE8:
            case BINBYTES8:
            case BYTEARRAY8:
                return push_text(in_.little_endian<uint64_t>());
            default:
                return false;
        }
    }

    bool stack(uint8_t op) {
        switch (op) {
            case MARK:
                check_height();
                marks_.push_back(stack_.size());
                return true;
            case POP:  // Python lets it remove a mark as well
                if (!marks_.empty() && marks_.back() == stack_.size())
                    marks_.pop_back();
                else
                    pop();
                return true;
            case POP_MARK:
                pop_mark();
                return true;
            case DUP:
                push(top());
                return true;
            default:
                return false;
        }
    }

    bool push_items(Kind kind, std::vector<const Value*> items) {
        Value* value = make(kind);
        deepen(*value, items);
        value->items = std::move(items);
        push(value);
        return true;
    }

    bool tuple(uint8_t op) {
        switch (op) {
            case EMPTY_TUPLE:
                return push_new(Kind::tuple);
            case TUPLE:
                return push_items(Kind::tuple, pop_mark());
            case TUPLE1:
                return push_items(Kind::tuple, pop_last(1));
            case TUPLE2:
                return push_items(Kind::tuple, pop_last(2));
            case TUPLE3:
                return push_items(Kind::tuple, pop_last(3));
            default:
                return false;
        }
    }

    bool container(uint8_t op) {
        switch (op) {
            case EMPTY_LIST:
            case EMPTY_SET:
                return push_new(Kind::list);
            case LIST:
                return push_items(Kind::list, pop_mark());
            case EMPTY_DICT:
                return push_new(Kind::dict);
            case DICT: {
                const std::vector<const Value*> items = pop_mark();
                push_new(Kind::dict);
                return extend(Kind::dict, items);
            }
            case APPEND:
                return extend(Kind::list, pop_last(1));
            case APPENDS:
            case ADDITEMS:
                return extend(Kind::list, pop_mark());
            case SETITEM:
                return extend(Kind::dict, pop_last(2));
            case SETITEMS:
                return extend(Kind::dict, pop_mark());
            default:
                return false;
        }
    }

    // Adds `items` to the container that is now on top of the stack.
    bool extend(Kind kind, const std::vector<const Value*>& items) {
        Value* target = top();
        check(target->is(kind), "pickle: items are added to something that is no ",
              kind == Kind::list ? "list" : "dictionary", ", before byte ", in_.position());
        check(kind != Kind::dict || items.size() % 2 == 0, "pickle: a dictionary key without a value, before byte ",
              in_.position());
        deepen(*target, items);
        target->items.insert(target->items.end(), items.begin(), items.end());
        return true;
    }

    bool memo(uint8_t op) {
        switch (op) {
            case BINPUT:
                memo_[in_.u8()] = top();
                return true;
            case LONG_BINPUT:
                memo_[in_.little_endian<uint32_t>()] = top();
                return true;
            case MEMOIZE:
                memo_[static_cast<uint32_t>(memo_.size())] = top();
                return true;
            case BINGET:
                return recall(in_.u8());
            case LONG_BINGET:
                return recall(in_.little_endian<uint32_t>());
            default:
                return false;
        }
    }

    bool recall(uint32_t index) {
        const auto found = memo_.find(index);
        check(found != memo_.end(), "pickle: nothing was remembered as number ", index);
        push(found->second);
        return true;
    }

    bool object(uint8_t op) {
        switch (op) {
            case GLOBAL: {
                const std::string module = in_.line();
                return global(module, in_.line());
            }
            case STACK_GLOBAL: {
                const Value *name = pop(), *module = pop();
                check(name->is(Kind::text) && module->is(Kind::text), "pickle: a name that is not a text");
                return global(module->text, name->text);
            }
            case REDUCE:
            case NEWOBJ:
                return call();
            case BUILD:
                return build();
            case BINPERSID:
                push_items(Kind::persistent, pop_last(1));
                result_.persistent.push_back(stack_.back());
                return true;
            default:
                return false;
        }
    }

    bool global(const std::string& module, const std::string& name) {
        Value* value = make(Kind::global);
        value->text = module + "." + name;
        check(is_known_(value->text), "asks for ", printable(value->text),
              "; Lethe never executes code from a file and reads only tensors in dictionaries, as torch.save writes "
              "them for model.state_dict()");
        push(value);
        return true;
    }

    bool call() {
        const Value* arguments = pop();
        const Value* callable = pop();
        check(callable->is(Kind::global) && arguments->is(Kind::tuple), "pickle: a malformed call, before byte ",
              in_.position());
        // The one type that later opcodes fill, so it must be a dictionary from here on.
        if (callable->text == "collections.OrderedDict") return ordered_dict(*arguments);
        return push_items(Kind::call, {callable, arguments});
    }

    // A NumPy array gets its shape and bytes like this. What a dictionary gets are attributes, such as
    // OrderedDict._metadata.
    bool build() {
        const Value* state = pop();
        if (top()->is(Kind::call)) top()->items.push_back(state);
        return true;
    }

    // OrderedDict() from Python 3, OrderedDict([[key, value], ...]) from Python 2.
    bool ordered_dict(const Value& arguments) {
        push_new(Kind::dict);
        if (arguments.items.empty()) return true;
        check(arguments.items.size() == 1 && arguments.items[0]->is(Kind::list), "pickle: a malformed OrderedDict");
        spend(arguments.items[0]->items.size());  // a list made once can be copied often
        for (const Value* pair : arguments.items[0]->items) {
            check((pair->is(Kind::list) || pair->is(Kind::tuple)) && pair->items.size() == 2,
                  "pickle: a malformed OrderedDict");
            extend(Kind::dict, pair->items);
        }
        return true;
    }

    ByteReader& in_;
    bool (*is_known_)(std::string_view);
    std::size_t steps_left_ = max_steps;
    Pickle result_;
    std::vector<Value*> stack_;
    std::vector<std::size_t> marks_;
    std::unordered_map<uint32_t, Value*> memo_;
};

}  // namespace

Pickle read(ByteReader& in, bool (*is_known)(std::string_view)) { return Interpreter(in, is_known).run(); }

}  // namespace lethe::pickle
