package ceremony_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
	"rootceremony/keys/virtual"
)

// carriers keep their cards from one sitting to the next, and count what they are asked.
type carriers struct {
	prompt.Script
	asked map[string]int // by id of the prompt
	typed int            // keys, with Enter, for what cards and roll calls add
}

func newCarriers(answers map[string]string) *carriers {
	return &carriers{prompt.Script{Answers: answers}, map[string]int{}, 0}
}

// adds reports whether a prompt is one of those that cards, roll calls and paper
// have brought.
func adds(id string) bool {
	return strings.HasPrefix(id, "rollcall.") || strings.HasPrefix(id, "sign.card ") || strings.HasPrefix(id, "start.") || strings.HasPrefix(id, "confirm.words ")
}

func (p *carriers) count(id string, keys int) {
	p.asked[id]++
	if adds(id) {
		p.typed += keys
	}
}

func (p *carriers) Confirm(ctx context.Context, q prompt.Prompt) (bool, error) {
	p.count(q.ID, 2) // an arrow, and Enter
	return p.Script.Confirm(ctx, q)
}

func (p *carriers) Choose(ctx context.Context, q prompt.Prompt, choices []prompt.Choice) (string, error) {
	key, err := p.Script.Choose(ctx, q, choices)
	p.count(q.ID, slices.IndexFunc(choices, func(c prompt.Choice) bool { return c.Key == key })+2)
	return key, err
}

func (p *carriers) Ask(ctx context.Context, q prompt.Prompt, check func(string) error) (string, error) {
	answer, err := p.Script.Ask(ctx, q, check)
	p.count(q.ID, len(answer)+1)
	return answer, err
}

// callsOf are the roll calls in a log, by what they come before.
func callsOf(t *testing.T, dir string) map[state.CallFor][]state.RollCall {
	t.Helper()
	all := map[state.CallFor][]state.RollCall{}
	for _, e := range events(t, dir) {
		if e.Type == state.TypeRollCall {
			var call state.RollCall
			if err := state.Read(e, &call); err != nil {
				t.Fatal(err)
			}
			all[call.For] = append(all[call.For], call)
		}
	}
	return all
}

// hows is how each holder was confirmed in a roll call.
func hows(call state.RollCall) string {
	var all []string
	for _, c := range call.Holders {
		all = append(all, string(c.How))
	}
	return strings.Join(all, " ")
}

// again leaves a desk, and starts the program again with the same tokens.
func (s *stage) again(t testing.TB, desk *ceremony.Desk) *ceremony.Desk {
	t.Helper()
	tokens := desk.Tokens()
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	desk, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = desk.Close() })
	desk.UseTokens(tokens)
	return desk
}

// until takes tasks until the one named is next.
func until(t testing.TB, desk *ceremony.Desk, a prompt.Room, id string) {
	t.Helper()
	for {
		task, ok := desk.Next()
		if !ok {
			t.Fatalf("task %s never came", id)
		}
		if task.ID == id {
			return
		}
		if err := desk.Run(t.Context(), task.ID, a); err != nil {
			t.Fatalf("%s: %v", task.ID, err)
		}
	}
}

// In one sitting nobody is called, and the log says why. What people carry adds
// few keys for five holders.
func TestOneSitting(t *testing.T) {
	s, desk := withBackups(t)
	p := newCarriers(nil)
	if err := runAll(desk, p); err != nil {
		t.Fatal(err)
	}
	for id := range p.asked {
		if strings.HasPrefix(id, "rollcall.") {
			t.Errorf("%s was asked in one sitting", id)
		}
	}
	calls := callsOf(t, s.dir)
	for _, what := range []state.CallFor{state.CallBackups, state.CallReview} {
		if len(calls[what]) != 1 || hows(calls[what][0]) != "sitting sitting sitting sitting sitting" {
			t.Errorf("%s: %+v", what, calls[what])
		}
	}
	for _, place := range []string{"card alice 1", "card alice 2", "card alice v1"} {
		if _, there := p.Cards[place]; !there {
			t.Errorf("nobody has written %q", place)
		}
	}
	t.Logf("one sitting: %d more keys for five holders", p.typed)
	if p.typed > 80 {
		t.Errorf("%d more keys, for all five", p.typed)
	}
}

// What this run of the program has seen is forgotten when it ends: the next one asks
// before a secret is sealed, and at the review, by token or by card.
func TestRollCallAfterAStart(t *testing.T) {
	for _, way := range []state.CallHow{state.CallToken, state.CallWords} {
		t.Run(string(way), func(t *testing.T) {
			answers := map[string]string{}
			for _, id := range []string{"alice", "bruno", "chen", "dana", "emil"} {
				answers["rollcall.how "+id] = string(way)
			}
			s, desk := withBackups(t)
			p := newCarriers(answers)
			until(t, desk, p, "key alice")
			for _, at := range []struct{ task, call, then string }{{"key alice", "rollcall backups", "review"}, {"review", "rollcall review", "sign alice"}} {
				desk = s.again(t, desk)
				if task, _ := desk.Next(); task.ID != at.call {
					t.Fatalf("next is %s, not %s", task.ID, at.call)
				}
				if err := desk.Run(t.Context(), at.task, p); err == nil || !strings.Contains(err.Error(), "waits for the roll call") {
					t.Fatalf("%s without a roll call: %v", at.task, err)
				}
				before := p.typed
				until(t, desk, p, at.then)
				t.Logf("%s, by %s: %d more keys", at.call, way, p.typed-before)
			}
			calls := callsOf(t, s.dir)
			want := strings.TrimSpace(strings.Repeat(string(way)+" ", 5))
			if len(calls[state.CallBackups]) != 1 || hows(calls[state.CallBackups][0]) != want || hows(calls[state.CallReview][0]) != want {
				t.Errorf("%+v", calls)
			}
			if way == state.CallToken && p.typed > 80 {
				t.Errorf("%d more keys", p.typed)
			}
		})
	}
}

// A scripted yes is no answer to a roll call, and without a card nothing is typed.
func TestScriptsAnswerNoRollCall(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]string
		want    string
	}{
		"yes":          {map[string]string{"rollcall.how alice": "yes"}, "not one of the choices"},
		"no card":      {map[string]string{"rollcall.how alice": "words"}, "nobody has written down"},
		"no words":     {map[string]string{"rollcall.how alice": "words", "rollcall.words alice": "yes"}, "1 words, and there are 8"},
		"wrong words":  {map[string]string{"rollcall.how alice": "words", "rollcall.words alice": keys.Carried(keys.CarriedEnrolment, []byte("another token"))}, "says other keys than this laptop"},
		"wrong token":  {map[string]string{"rollcall.token alice": "B-02"}, "is Bruno Ferraz's, and that of Alice Costa"},
		"not the list": {map[string]string{"rollcall.how alice": "words", "rollcall.words alice": "a b c d e f g h"}, `"a" isn't a word of the list`},
	} {
		t.Run(name, func(t *testing.T) {
			s, desk := opened(t)
			runTo(t, desk, "review")
			desk = s.again(t, desk)
			err := runAll(desk, &prompt.Script{Answers: c.answers})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if desk.State().Draft != nil {
				t.Error("there is a draft")
			}
			if calls := callsOf(t, s.dir)[state.CallReview]; name == "wrong words" && (len(calls) != 1 || hows(calls[0]) != "differs nobody nobody nobody nobody") || name != "wrong words" && len(calls) > 0 {
				t.Errorf("recorded: %+v", calls)
			}
			// The right token ends it, in this run and after another start.
			desk = s.again(t, desk)
			if err := runAll(desk, &prompt.Script{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Anyone who makes keys until their card's digest begins like the real one's has words
// that people would take for theirs, if those were of the digest alone: three of them
// cost some ten million keys. The card's words are not, and the log is refused.
func TestGroundKeys(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "review")
	real := desk.State().Holders["alice"].Card(true)
	at := bytes.LastIndex(real, []byte(" ")) + 1 // of the root key
	want, forged := sha256.Sum256(real), slices.Clone(real)
	for n := uint64(0); ; n++ {
		hex.Encode(forged[at:], binary.LittleEndian.AppendUint64(nil, n))
		if is := sha256.Sum256(forged); [3]byte(is[:]) == [3]byte(want[:]) {
			break
		}
	}
	is := sha256.Sum256(forged)
	if bytes.Equal(forged, real) || !slices.Equal(keys.Words(is[:3]), keys.Words(want[:3])) {
		t.Fatalf("%q is not ground", forged)
	}
	desk = s.again(t, desk)
	a := &prompt.Script{Answers: map[string]string{"rollcall.how alice": "words", "rollcall.words alice": keys.Carried(keys.CarriedEnrolment, forged)}}
	if err := runAll(desk, a); err == nil || !strings.Contains(err.Error(), "says other keys than this laptop") {
		t.Errorf("%v", err)
	}
	if calls := callsOf(t, s.dir)[state.CallReview]; len(calls) != 1 || hows(calls[0]) != "differs nobody nobody nobody nobody" || desk.State().Draft != nil {
		t.Errorf("%+v", calls)
	}
}

// A token whose firmware doesn't say which keys it holds leaves it to the card.
func TestRollCallOfOldFirmware(t *testing.T) {
	s, desk := opened(t)
	p := &prompt.Script{}
	until(t, desk, p, "review")
	desk = s.again(t, desk)
	s.becomesOld(desk.State().Holders["alice"].Serial)
	if err := desk.Run(t.Context(), "rollcall review", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "nobody has written down") {
		t.Errorf("without a card: %v", err)
	}
	if err := desk.Run(t.Context(), "rollcall review", p); err != nil {
		t.Fatal(err)
	}
	if calls := callsOf(t, s.dir)[state.CallReview]; len(calls) != 1 || hows(calls[0]) != "words token token token token" {
		t.Errorf("%+v", calls)
	}
}

// Holders who cannot be asked must be too few to make a root, whatever is recorded
// as an exception; and the draft says who they are.
func TestConfirmedByNobody(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "review")
	desk = s.again(t, desk)
	nobody := map[string]string{"rollcall.how alice": "nobody", "rollcall.how bruno": "nobody", "rollcall.how chen": "nobody"}
	if err := desk.Run(t.Context(), "rollcall review", &prompt.Script{Answers: nobody}); err == nil || !strings.Contains(err.Error(), "nobody has confirmed the keys of Alice Costa, Bruno Ferraz and Chen Wei") {
		t.Fatalf("with three of three: %v", err)
	}
	if err := desk.Exception("everybody is confirmed", "nobody can be reached", "go on", false); err != nil {
		t.Fatal(err)
	}
	if review := taskOf(t, desk, "review"); review.State != prompt.Blocked || !strings.Contains(review.Reason, "nobody has confirmed") {
		t.Errorf("the review is %s %s", review.State, review.Reason)
	}
	root, err := desk.State().PlannedRoot(desk.State().Plan.Expires)
	if err != nil {
		t.Fatal(err)
	}
	err = desk.Record(state.TypeDraftMade, "room", state.DraftMade{Version: 1, Expires: desk.State().Plan.Expires, File: ceremony.DraftAsFile(desk.State(), root), Unconfirmed: []string{"alice", "bruno", "chen"}})
	if err == nil || !strings.Contains(err.Error(), "nobody has confirmed") {
		t.Errorf("drafted: %v", err)
	}
	two := maps.Clone(nobody)
	delete(two, "rollcall.how chen")
	if err := desk.Run(t.Context(), "rollcall review", &prompt.Script{Answers: two}); err != nil {
		t.Fatal(err)
	}
	said := ""
	if err := desk.Run(t.Context(), "review", &prompt.Script{Say: func(m prompt.Message) { said += strings.Join(m.Lines, "\n") }}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Alice Costa, serial ", "sticker A-01, CONFIRMED BY NOBODY", "Chen Wei, serial", "sticker C-03, confirmed by the token"} {
		if !strings.Contains(said, want) {
			t.Errorf("the review does not say %q:\n%s", want, said)
		}
	}
	if got := desk.State().Draft.Unconfirmed; !slices.Equal(got, []string{"alice", "bruno"}) {
		t.Errorf("the draft says %q", got)
	}
}

// Nobody signs a version that the card says was signed.
func TestCardSaysSigned(t *testing.T) {
	s, desk := opened(t)
	p := &prompt.Script{}
	until(t, desk, p, "sign alice")
	before := &stage{t: t, dir: t.TempDir(), drawer: s.drawer, shared: s.tokens()}
	if err := os.CopyFS(before.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "sign alice", p); err != nil {
		t.Fatal(err)
	}
	older := before.again(t, desk)
	if err := older.Run(t.Context(), "sign alice", p); err == nil || !strings.Contains(err.Error(), "says that v1 was signed") {
		t.Errorf("signed again in an older copy: %v", err)
	}
}

// leaves has people write down what they see when they leave, and start again.
func (s *stage) leaves(t testing.TB, desk *ceremony.Desk, p *prompt.Script) *ceremony.Desk {
	t.Helper()
	s.paper = true
	written := desk.Paper()
	if len(written) != 2 || written[0].ID != "paper" {
		t.Fatalf("for the paper: %+v", written)
	}
	if p.Cards == nil {
		p.Cards = map[string]prompt.Written{}
	}
	p.Cards["paper"] = written[0]
	return s.again(t, desk)
}

// startOf is the newest start.compared of a log: the lines that the paper knew, and
// those that there were.
func startOf(t *testing.T, dir string) (paper, before int64) {
	t.Helper()
	paper = -1
	for _, e := range events(t, dir) {
		switch e.Type {
		case state.TypeContinued:
			before = e.Seq - 1
		case state.TypeStartCompared:
			var data state.StartCompared
			if err := state.Read(e, &data); err != nil {
				t.Fatal(err)
			}
			paper = data.Paper
		}
	}
	return paper, before
}

// At each start the paper says which log it is, and before a token has signed it
// which plan. Nothing goes before that.
func TestStartWithThePaper(t *testing.T) {
	s, desk := opened(t)
	p := newCarriers(nil)
	until(t, desk, p, "enrol alice")
	for _, at := range []string{"enrol alice", "enrol bruno", "review", "sign bruno"} {
		until(t, desk, p, at)
		desk = s.leaves(t, desk, &p.Script)
		for _, task := range desk.Tasks() {
			if task.State == prompt.Ready != (task.ID == "start") {
				t.Errorf("%s is %s %s", task.ID, task.State, task.Reason)
			}
		}
		before := p.typed
		if err := desk.Run(t.Context(), "start", p); err != nil {
			t.Fatal(err)
		}
		t.Logf("start before %s: %d keys", at, p.typed-before)
		if most := map[bool]int{false: 100, true: 200}[at == "enrol alice"]; p.typed-before > most {
			t.Errorf("%d keys to start", p.typed-before)
		}
		if paper, lines := startOf(t, s.dir); paper != lines {
			t.Errorf("the paper had %d lines, and there were %d", paper, lines)
		}
	}
	if p.asked["start.plan"] != 1 || p.asked["start.words"] != 4 || p.asked["start.lines"] != 0 {
		t.Errorf("asked: %v", p.asked)
	}
	if err := runAll(desk, p); err != nil {
		t.Fatal(err)
	}
	if desk.Paper() != nil {
		t.Error("a closed ceremony has a paper")
	}
}

// What was recorded after the paper was written is shown, and its lines are counted;
// a paper that knows more than the log, or another log, is refused.
func TestPaperOfAnotherState(t *testing.T) {
	s, desk := opened(t)
	p := &prompt.Script{}
	until(t, desk, p, "enrol bruno")
	desk = s.leaves(t, desk, p)
	older := p.Cards["paper"]
	if err := desk.Run(t.Context(), "start", p); err != nil {
		t.Fatal(err)
	}
	until(t, desk, p, "enrol chen")
	desk = s.again(t, desk) // killed: nothing was written down
	said := map[string]bool{}
	p.Say = func(m prompt.Message) { said[m.Title] = true }
	if err := desk.Run(t.Context(), "start", p); err != nil {
		t.Fatal(err)
	}
	paper, before := startOf(t, s.dir)
	if paper >= before || !said[fmt.Sprintf("Recorded after what the paper says: %d", before-paper)] {
		t.Errorf("the paper had %d of %d lines; said %v", paper, before, said)
	}
	then := &stage{t: t, dir: t.TempDir(), drawer: s.drawer, shared: s.tokens()}
	if err := os.CopyFS(then.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	until(t, desk, p, "enrol dana")
	desk = s.leaves(t, desk, p)
	then.paper = true
	rolledBack := then.again(t, desk)
	if err := rolledBack.Run(t.Context(), "start", p); err == nil || !strings.Contains(err.Error(), "no state of this log has the words on the paper") {
		t.Errorf("an older copy: %v", err)
	}
	for _, task := range rolledBack.Tasks() {
		if task.State == prompt.Ready && task.ID != "start" {
			t.Errorf("%s goes on", task.ID)
		}
	}

	// Without the paper it stays so, over another start too.
	for range 2 {
		if err := rolledBack.Run(t.Context(), "start", &prompt.Script{Answers: map[string]string{"start.paper": "no"}}); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(rolledBack.Alarm(), "ALARM: no state of this log") || !slices.Contains(rolledBack.Status(), rolledBack.Alarm()) {
			t.Errorf("%q in %q", rolledBack.Alarm(), rolledBack.Status())
		}
		if err := rolledBack.State().AlarmAtSealing(); err == nil {
			t.Error("secrets may be sealed")
		}
		if review := taskOf(t, rolledBack, "review"); review.State != prompt.Blocked {
			t.Errorf("the review is %s", review.State)
		}
		rolledBack = then.again(t, rolledBack)
	}
	if rolledBack.State().Exceptions != 3 {
		t.Errorf("%d exceptions", rolledBack.State().Exceptions)
	}

	if err := rolledBack.Run(t.Context(), "start", &prompt.Script{Cards: map[string]prompt.Written{"paper": older}, Answers: map[string]string{"start.lines": "1"}}); err == nil {
		t.Error("a wrong number of lines was taken")
	}
	lines := len(events(t, then.dir))
	mistyped := &prompt.Script{Cards: map[string]prompt.Written{"paper": p.Cards["paper"]}, Answers: map[string]string{"start.differs": "no"}}
	mistyped.Say = func(m prompt.Message) {
		if len(m.Lines) == 1 && m.Lines[0] == p.Cards["paper"].Words() {
			mistyped.Cards["paper"] = older
		}
	}
	if err := rolledBack.Run(t.Context(), "start", mistyped); err != nil {
		t.Errorf("a paper of an earlier time: %v", err)
	}
	if all := events(t, then.dir); len(all) != lines+1 {
		t.Errorf("mistyped words were recorded: %+v", all[lines:])
	}
	if rolledBack.Alarm() != "" || rolledBack.State().Alarmed() != nil {
		t.Errorf("the right words do not end it: %q", rolledBack.Alarm())
	}
}

// Without paper the tokens say it, also before a holder signs what was reviewed.
func TestStartWithoutPaper(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol alice")
	s.paper = true
	desk = s.again(t, desk)
	if err := desk.Run(t.Context(), "start", &prompt.Script{Answers: map[string]string{"start.digest": "00000000"}}); err == nil {
		t.Error("another plan")
	}
	runTo(t, desk, "sign alice")
	desk = s.again(t, desk)
	p := newCarriers(nil)
	if err := desk.Run(t.Context(), "start", p); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "sign alice", p); err == nil || !strings.Contains(err.Error(), "waits for the roll call") {
		t.Errorf("signed: %v", err)
	}
	if err := desk.Run(t.Context(), "rollcall review", &prompt.Script{Answers: map[string]string{"rollcall.how alice": "words"}}); err == nil || !strings.Contains(err.Error(), "not one of the choices") {
		t.Errorf("by the card: %v", err)
	}
	if err := runAll(desk, p); err != nil {
		t.Fatal(err)
	}
	if p.asked["rollcall.how emil"] != 1 || p.asked["sign.card alice"] != 1 {
		t.Errorf("asked: %v", p.asked)
	}
}

// Somebody else's genuine token has taken a holder's place in the log while nobody
// looked: neither the holder's card nor the holder's token agrees with it.
func TestRollCallFindsAnotherToken(t *testing.T) {
	s, desk := opened(t)
	if _, err := s.drawer.Add("X-99", virtual.Options{}); err != nil {
		t.Fatal(err)
	}
	p := &prompt.Script{}
	until(t, desk, p, "enrol bruno")
	other := &stage{t: t, dir: t.TempDir(), drawer: s.drawer, shared: s.tokens()}
	if err := os.CopyFS(other.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	until(t, desk, p, "review")
	theirs, err := other.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	tokens := desk.Tokens()
	tokens.Plug = func(stickers ...string) error { other.plugged = stickers; return nil }
	tokens.Start = other.start
	theirs.UseTokens(tokens)
	if err := theirs.Run(t.Context(), "enrol bruno", &prompt.Script{Answers: map[string]string{"holder.token bruno": "X-99"}}); err != nil {
		t.Fatal(err)
	}
	theirs = other.again(t, theirs)
	runTo(t, theirs, "rollcall review")
	theirs = other.again(t, theirs)
	if theirs.State().Holders["bruno"].Serial == desk.State().Holders["bruno"].Serial {
		t.Fatal("it is Bruno's own token")
	}
	for way, want := range map[string]string{"words": "what Bruno Ferraz has kept says other keys", "token": "is nobody's in this ceremony, and that of Bruno Ferraz is"} {
		err := theirs.Run(t.Context(), "rollcall review", &prompt.Script{Answers: map[string]string{"rollcall.how bruno": way}, Cards: p.Cards})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("by %s: %v", way, err)
		}
	}
	if review := taskOf(t, theirs, "review"); review.State != prompt.Blocked {
		t.Errorf("the review is %s", review.State)
	}
}

// The words of a card can be looked at again while the program that has seen its keys
// made runs, and not after another start, when they are to be typed.
func TestWordsAreShownAgain(t *testing.T) {
	s, desk := newPair(t, 2).opened()
	shown := func() map[string]string {
		all := map[string]string{}
		for _, w := range desk.Words() {
			all[w.Where] = w.Words()
		}
		return all
	}
	if len(shown()) != 0 {
		t.Errorf("before there is a plan: %v", shown())
	}
	p := &prompt.Script{}
	until(t, desk, p, "review")
	all := shown()
	for _, line := range []string{"card alice 1", "card alice 2", "card bruno 1", "card bruno 2"} {
		if written := p.Cards[line]; all[written.Where] != written.Words() {
			t.Errorf("%s: %q, and written down was %q", written.Where, all[written.Where], written.Words())
		}
	}
	if len(all) != 5 {
		t.Errorf("shown: %v", all)
	}
	desk = s.again(t, desk)
	if all := shown(); len(all) != 1 {
		t.Errorf("after another start: %v", all)
	}
}
