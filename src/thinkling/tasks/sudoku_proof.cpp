// How many solutions a Sudoku has: sudoku_proof.py in C++, guess for guess, with an array in place of each integer.
//
// A board is a list of demands (a digit in a unit, or for a cell); each is a word with a bit for each of the n
// candidates that meet it. A candidate has four bits, one for each demand that it meets.
// Shapes: D = 4 n² demands, C = n³ candidates.

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

using Int = std::int32_t;
using Word = std::uint16_t;
constexpr Int MOST = 4 * 9 * 9;     // D of the largest board
constexpr Int DEMANDS = MOST + 28;  // made up to whole registers; the words behind the last demand are 0

struct Board {
    alignas(64) Word of[DEMANDS] = {};
};

constexpr Int FOUR = DEMANDS / 4;  // demands are looked at four at a time where most have nothing to say

std::uint64_t four(const Board& board, Int i) {
    std::uint64_t words;
    std::memcpy(&words, board.of + 4 * i, sizeof(words));
    return words;
}

struct State {
    Board left;    // candidates that are left
    Board chosen;  // those among them whose rivals are gone
    Int fresh;     // a candidate to be chosen first; -1: none
};

struct Rules {
    Int size, demands;
    std::vector<Int> bits;        // [C, 4] demand · n + place in it
    std::vector<Int> candidates;  // [D, n] the candidate of each bit
    std::vector<Board> kept;      // [C] all but the candidate's rivals
    Board all;
};

Int lowest(Word word) { return __builtin_ctz(word); }
Int highest(Word word) { return 31 - __builtin_clz(word); }

void choose(const Rules& rules, State& state, Int candidate) {
    for (Int d = 0; d < DEMANDS; d++) state.left.of[d] &= rules.kept[candidate].of[d];
    for (Int k = 0; k < 4; k++) {
        const Int bit = rules.bits[4 * candidate + k];
        state.chosen.of[bit / rules.size] |= 1 << bit % rules.size;
    }
}

// Choose whatever is the only candidate for a demand, until nothing changes. False on a contradiction.
bool settle(const Rules& rules, State& state) {
    if (state.fresh >= 0) choose(rules, state, state.fresh);
    for (bool changed = true; changed;) {
        changed = false;
        Board alone;  // single candidates that are not chosen yet
        Word unmet = 0;
        for (Int d = 0; d < DEMANDS; d++) {
            const Word left = state.left.of[d], more = left & (left - 1);
            // All bits or none in place of a question: compilers then take many demands at once.
            unmet |= rules.all.of[d] & -Word(left == 0);
            alone.of[d] = left & ~state.chosen.of[d] & -Word(more == 0);
        }
        if (unmet) return false;
        for (Int i = 0; i < FOUR; i++) {
            if (!four(alone, i)) continue;
            for (Int d = 4 * i; d < 4 * i + 4; d++) {
                if (!(alone.of[d] & ~state.chosen.of[d])) continue;
                choose(rules, state, rules.candidates[d * rules.size + lowest(alone.of[d])]);
                changed = true;
            }
        }
    }
    return true;
}

// The demand to try the candidates of, on a board that is settled and not full: the digits of a cell, or else the
// places of a digit.
Int branching(const Rules& rules, const Board& left) {
    const Int cells = rules.demands / 4 * 3;
    Board pairs;
    for (Int d = 0; d < DEMANDS; d++) {
        const Word second = left.of[d] & (left.of[d] - 1), third = second & (second - 1);
        pairs.of[d] = left.of[d] & -Word(second != 0) & -Word(third == 0);
    }
    Int best = -1, most = -1;
    for (Int d = cells; d < rules.demands; d++) {
        if (!pairs.of[d]) continue;
        // The cell that sees most of the other pairs: wherever it leads, much follows.
        const Board& kept = rules.kept[rules.candidates[d * rules.size + highest(left.of[d])]];
        Int seen = 0;
        for (Int i = 0; i < FOUR; i++) seen += __builtin_popcountll(four(pairs, i) & ~four(kept, i));
        if (seen > most) best = d, most = seen;
    }
    if (best >= 0) return best;
    for (Int d = 0; d < cells; d++)
        if (pairs.of[d]) return d;
    Int fewest = rules.size + 1;
    for (Int d = cells; d < rules.demands; d++) {
        const Int count = __builtin_popcount(left.of[d]);
        if (count > 1 && count < fewest) best = d, fewest = count;
    }
    return best;
}

}  // namespace

// The tables of one size, from the four bits of each candidate [C, 4] (demand · n + place). They stay for ever.
extern "C" const void* sudoku_rules(Int size, const Int* bits) {
    auto& rules = *new Rules;
    const Int count = size * size * size;
    rules.size = size;
    rules.demands = 4 * size * size;
    rules.bits.assign(bits, bits + 4 * count);
    rules.candidates.resize(rules.demands * size);
    for (Int i = 0; i < 4 * count; i++) rules.candidates[bits[i]] = i / 4;
    for (Int d = 0; d < rules.demands; d++) rules.all.of[d] = (1 << size) - 1;
    rules.kept.assign(count, rules.all);
    for (Int candidate = 0; candidate < count; candidate++)
        for (Int k = 0; k < 4; k++) {
            const Int demand = bits[4 * candidate + k] / size;
            for (Int place = 0; place < size; place++) {
                const Int rival = rules.candidates[demand * size + place];
                for (Int j = 0; j < 4 && rival != candidate; j++) {
                    const Int bit = bits[4 * rival + j];
                    rules.kept[candidate].of[bit / size] &= ~(1 << bit % size);
                }
            }
        }
    return &rules;
}

// Looks for two solutions. digits: [L] of the board, 0 for a blank. most: guesses to give up after; -1: never.
// solutions: [2, L] takes those found. guesses: takes their number.
// Returns how many were found, and -1 - that number where it was given up before it was certain.
extern "C" Int sudoku_proof(const void* tables, const std::uint8_t* digits, Int most, std::uint8_t* solutions,
                            Int* guesses) {
    const Rules& rules = *static_cast<const Rules*>(tables);
    const Int cells = rules.size * rules.size, first_cell = 3 * cells;
    State state{rules.all, {}, -1};
    for (Int cell = 0; cell < cells; cell++)
        if (digits[cell]) choose(rules, state, cell * rules.size + digits[cell] - 1);
    std::vector<State> waiting{state};
    Int found = 0;
    *guesses = 0;
    while (!waiting.empty() && found < 2) {
        state = waiting.back();
        waiting.pop_back();
        if (!settle(rules, state)) continue;
        if (std::memcmp(&state.left, &state.chosen, sizeof(Board)) == 0) {
            for (Int cell = 0; cell < cells; cell++)
                solutions[found * cells + cell] = highest(state.left.of[first_cell + cell]) + 1;
            found++;
            continue;
        }
        const Int demand = branching(rules, state.left);
        const Int count = __builtin_popcount(state.left.of[demand]);
        if (most >= 0 && *guesses + count > most) return -1 - found;
        *guesses += count;
        for (Word rest = state.left.of[demand]; rest; rest &= rest - 1) {
            state.fresh = rules.candidates[demand * rules.size + lowest(rest)];
            waiting.push_back(state);
        }
    }
    return found;
}
