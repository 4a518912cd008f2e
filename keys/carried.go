package keys

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"strings"
	"sync"
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
