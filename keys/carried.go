package keys

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Words that people carry over time, on a card or on paper, stand for a value
// that a laptop shows again later. An attacker who may choose the value can try
// many until all words agree, so there are eight of them and each try is slow:
// the first 8 bytes of PBKDF2-HMAC-SHA256 over the value, with 2^20 rounds and
// one salt for each kind, as Words has them.

// CarriedKind is what a value is: the words of one kind never stand for another.
type CarriedKind string

// The values whose words people carry.
const (
	CarriedEnrolment CarriedKind = "enrolment"  // a holder's token and the keys on it, on the holder's card
	CarriedDraft     CarriedKind = "draft"      // SHA-256 of what a holder has signed, on the card
	CarriedPlan      CarriedKind = "plan"       // digest of the agreed plan, on paper
	CarriedLog       CarriedKind = "checkpoint" // the log as it was left, on paper
)

const (
	carriedRounds = 1 << 20
	carriedWords  = 8
)

// carried keeps what was computed: the same words stand in many places.
var carried sync.Map

// Carried returns the eight words of a value, with spaces between them. It takes
// a fifth of a second the first time.
func Carried(kind CarriedKind, value []byte) string {
	type computed struct {
		kind  CarriedKind
		value string
	}
	key := computed{kind, string(value)}
	if words, there := carried.Load(key); there {
		return words.(string)
	}
	slow, err := pbkdf2.Key(sha256.New, string(value), []byte("rootceremony carried words 1: "+string(kind)), carriedRounds, carriedWords)
	if err != nil {
		panic(err) // only for parameters that FIPS 140 forbids
	}
	words := strings.Join(Words(slow), " ")
	carried.Store(key, words)
	return words
}

// ReadCarried returns eight typed words as Carried has them: upper and lower case,
// spaces and hyphens do not count. An error names the word that isn't one of the
// list at its place, or says how many words there are.
func ReadCarried(typed string) (string, error) {
	fields := strings.FieldsFunc(typed, func(r rune) bool { return unicode.IsSpace(r) || r == '-' || r == ',' })
	if found := carriedIn(strings.Join(fields, ""), 0); found != nil {
		return strings.Join(found, " "), nil
	}
	if len(fields) != carriedWords {
		return "", fmt.Errorf("that is %d words, and there are %d", len(fields), carriedWords)
	}
	for i, field := range fields {
		if !slices.ContainsFunc(wordLists()[i%2], func(w string) bool { return strings.EqualFold(w, field) }) {
			return "", fmt.Errorf("%q isn't a word of the list that can stand at place %d", field, i+1)
		}
	}
	return "", errors.New("they aren't eight words of the list")
}

// carriedIn finds the words from the i-th on that a text without spaces is made of.
func carriedIn(text string, i int) []string {
	if i == carriedWords && text == "" {
		return []string{}
	}
	if i == carriedWords {
		return nil
	}
	for _, word := range wordLists()[i%2] {
		if len(text) >= len(word) && strings.EqualFold(text[:len(word)], word) {
			if rest := carriedIn(text[len(word):], i+1); rest != nil {
				return append([]string{word}, rest...)
			}
		}
	}
	return nil
}
