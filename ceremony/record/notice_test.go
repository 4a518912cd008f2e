package record

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// facts are those of a revocation in which one key is dropped for another.
func facts(i Incident) NoticeFacts {
	digest, file := sha256.Sum256([]byte("a draft")), sha256.Sum256([]byte("a file"))
	n := NoticeFacts{Project: "Example packages", Incident: i,
		Old:    RootFacts{7, time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), 3, 5},
		New:    RootFacts{8, time.Date(2027, 11, 22, 0, 0, 0, 0, time.UTC), 3, 5},
		Digest: digest[:], File: file[:]}
	_, dropped := private(2)
	_, added := private(3)
	drop := func(reason string) {
		n.Dropped, n.Added = []DroppedKey{{dropped.ID, reason}}, []string{added.ID}
	}
	n.Counted = i != ""
	switch i {
	case TokenLost:
		n.Lost = 1
	case TokenStolen, PINSeen, KeyPublished:
		n.Taken = 1
	case QuorumLost:
		n.Lost = 3
	case QuorumStolen:
		n.Taken = 3
	}
	switch i {
	case "":
		drop("retired")
		n.Reason = "Chen hands over to Fatima"
	case TokenLost:
		drop("lost")
		n.Reason = "token A-03 fell into the Tejo"
	case KeyPublished:
		drop("compromised")
		n.Reason = "the published root had the private half in it"
	case TokenStolen, PINSeen:
		drop("stolen")
		n.Reason = "a bag was taken on the way to the office"
	case RoleCompromised:
		n.Roles = []string{"targets"}
		n.Changed = []string{"timestamp", "snapshot", "targets"}
		n.Reason = "an intruder on the build server"
	case HolderLeft:
		drop("retired")
		n.Reason = "Chen is no longer with us"
	case QuorumLost, QuorumStolen:
		n.Repin = true
		n.New = RootFacts{1, n.New.Expires, 3, 5}
		n.Changed = []string{"timestamp", "snapshot", "targets"}
		n.Reason = "the safe burnt with three tokens"
		if i == QuorumStolen {
			n.Reason = "the safe with three tokens was broken open"
		}
	case RootExpired:
		n.Old.Expires = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return n
}

// now are the facts of the same incident before the new root is out.
func now(n NoticeFacts) NoticeFacts {
	n.Digest, n.File, n.Added = nil, nil, nil
	return n
}

func TestNoticesGolden(t *testing.T) {
	for _, i := range append([]Incident{""}, Incidents...) {
		name := string(i)
		if i == "" {
			name = "rotation"
		} else {
			golden(t, "notice/"+name+"-now.md", Notice(now(facts(i))))
		}
		golden(t, "notice/"+name+".md", Notice(facts(i)))
	}
	// No plan yet, and nothing is known.
	golden(t, "notice/nothing-known.md", Notice(NoticeFacts{Incident: QuorumStolen, Repin: true}))
	rotated := facts(QuorumStolen) // what a rotation can do until then
	rotated.Repin, rotated.New.Version, rotated.Rehearsal = false, 8, true
	golden(t, "notice/quorum-stolen-rotated.md", Notice(rotated))
	golden(t, "notice/quorum-stolen-rotated-now.md", Notice(now(rotated)))
	public := facts(KeyPublished) // a threshold of keys
	public.Taken = 3
	golden(t, "notice/key-published-quorum.md", Notice(public))
	golden(t, "notice/key-published-quorum-now.md", Notice(now(public)))
	public.Repin, public.New.Version, public.Dropped = true, 1, nil
	golden(t, "notice/key-published-again-now.md", Notice(now(public)))
	public.Old, public.Counted, public.Taken = RootFacts{}, false, 0 // as the new chain's plan knows it
	golden(t, "notice/key-published-again.md", Notice(public))
	partly := facts(RoleCompromised)
	partly.Changed = []string{"targets"}
	golden(t, "notice/role-compromised-partly.md", Notice(partly))
	all := facts(RoleCompromised)
	all.Roles = all.Changed
	golden(t, "notice/role-compromised-all-now.md", Notice(now(all)))
	restored := facts(QuorumLost) // backups brought enough keys back
	restored.Repin, restored.New.Version, restored.Changed = false, 8, nil
	golden(t, "notice/quorum-lost-restored.md", Notice(restored))
}

// Whatever is given stands in the notice, and is no gap.
func TestNoticeSaysTheFacts(t *testing.T) {
	for _, i := range append([]Incident{""}, Incidents...) {
		n := facts(i)
		text := flat(Notice(n))
		want := []string{n.Project, n.Reason, day(n.Old.Expires), day(n.New.Expires), fmt.Sprintf("version %d", n.Old.Version),
			fmt.Sprintf("version %d", n.New.Version), "3 of 5", keys.Groups(n.Digest[:16]), keys.Words(n.Digest)[31],
			keys.Groups(n.File[16:]), keys.Words(n.File)[31]}
		for _, d := range n.Dropped {
			want = append(want, "`"+d.KeyID+"` is dropped: "+d.Reason+".")
		}
		for _, id := range n.Added {
			want = append(want, "`"+id+"` is new.")
		}
		for _, s := range append(want, n.Changed...) {
			if !strings.Contains(text, s) {
				t.Errorf("%q: %q is not in\n%s", i, s, text)
			}
		}
		// These are gaps where they are not known.
		for _, s := range []string{"[FILL IN: number]", "[FILL IN: date, UTC]", "[FILL IN: the project", "[FILL IN: digest", "[FILL IN: how many", "[FILL IN: what happened", "[FILL IN: timestamp"} {
			if strings.Contains(text, s) {
				t.Errorf("%q: %s, which was given", i, s)
			}
			if !strings.Contains(s, "timestamp") && !strings.Contains(flat(Notice(NoticeFacts{Repin: true, File: n.File})), s) {
				t.Errorf("%s is no gap where nothing is known", s)
			}
		}
	}
}

// Of every incident both forms say how many keys others have, and how many they
// need; and what the number means.
func TestNoticeCountsKeys(t *testing.T) {
	for _, i := range Incidents {
		for taken := range 5 {
			n := facts(i)
			n.Taken, n.Lost = taken, 0
			if i == QuorumStolen && taken < 3 || i != QuorumStolen && i != KeyPublished && taken >= 3 {
				continue
			}
			many := fmt.Sprint(taken)
			if taken == 0 {
				many = "none that we know of"
			}
			for _, n := range []NoticeFacts{n, now(n)} {
				text := flat(Notice(n))
				for _, s := range []string{"Root keys that others have, or may have: " + many + ".", "Root keys that must sign a new root: 3 of 5."} {
					if !strings.Contains(text, s) {
						t.Errorf("%q, %d taken, out %v: %q is not in\n%s", i, taken, n.out(), s, text)
					}
				}
				enough := strings.Contains(text, map[bool]string{true: "That is enough: anyone can sign a root", false: "That is enough: anyone who has them can sign a root"}[i == KeyPublished])
				if enough != (taken >= 3) {
					t.Errorf("%q, %d taken: enough to sign a root: %v", i, taken, enough)
				}
			}
		}
	}
}

// The words of the announcement must not be those of another announcement, of
// another day, or against the advice that the project was given.
func TestNoticeClaims(t *testing.T) {
	for _, i := range Incidents {
		n := facts(i)
		text, before := flat(Notice(n)), flat(Notice(now(n)))
		if usually := strings.Contains(text, "Usually nothing."); usually == n.Repin {
			t.Errorf("%q: repin %v, and users have usually nothing to do: %v", i, n.Repin, usually)
		}
		if n.Repin && strings.Contains(text, "by themselves") {
			t.Errorf("%q: clients do by themselves what users must do by hand", i)
		}
		if strings.Contains(text+before, "no incident that we know of") {
			t.Errorf("%q is called planned", i)
		}
		for _, s := range []string{"SHA-256 of the file", "Install the client", "goes live together", "is new.", "Switch automatic updates on again", "Delete the client"} {
			if strings.Contains(before, s) {
				t.Errorf("%q: %q is said before the new root is out", i, s)
			}
		}
		if !strings.Contains(before, "not out yet") || strings.Contains(text, "not out yet") || strings.Contains(text, "will be") {
			t.Errorf("%q: the two forms do not tell the times apart", i)
		}
		asUpdate := strings.Contains(strings.Join(i.Advice(), " "), "ship the new root as an update")
		for _, text := range []string{before, text} {
			if stop := strings.Contains(text, "Stop automatic updates") || strings.Contains(text, "Updates cannot carry you"); stop && asUpdate || !stop && i == QuorumStolen {
				t.Errorf("%q: the new root is shipped as an update: %v, and users stop updates: %v", i, asUpdate, stop)
			}
			if asUpdate && !strings.Contains(text, "Leave automatic updates on") {
				t.Errorf("%q: nobody is told to leave updates on", i)
			}
		}
	}
	for _, c := range []struct {
		changed []string
		said    bool
	}{{[]string{"timestamp"}, true}, {[]string{"snapshot", "targets"}, true}, {[]string{"targets"}, false}, {nil, false}} {
		n := facts(RoleCompromised)
		n.Changed = c.changed
		if said := strings.Contains(flat(Notice(n)), "5.3.11"); said != c.said {
			t.Errorf("%v: that clients drop what they have stored is said: %v", c.changed, said)
		}
	}
	// Anyone who can be given any software stops updates, until the root is out.
	n := facts(RoleCompromised)
	n.Roles = []string{"targets", "timestamp", "snapshot"}
	if !strings.Contains(flat(Notice(now(n))), "Stop automatic updates") || !strings.Contains(flat(Notice(n)), "switch them on again") || strings.Contains(flat(Notice(n)), "Usually nothing") {
		t.Error("nobody is told when to stop updates, and when to go on")
	}
}

// ofTheDay are the gaps whose answers are true of one notice only.
var ofTheDay = []string{"date and time, UTC", "nothing here"}

// What people wrote into the gaps of the notice for now stands in the one for
// when the root is out, however long it is and wherever its lines are broken; and
// what was true that day alone does not.
func TestNoticeCarriesWhatWasFilledIn(t *testing.T) {
	words := rapid.SliceOfN(rapid.SampledFrom([]string{"4", "March", "2026.", "12.", "3)", "we", "know;", "(see", "the", "site)", "é", "-", "+", "https://example.org/a_b?c=d", "7:", "a.", "[sic]", "\\[", "`x`"}), 1, 25)
	rapid.Check(t, func(t *rapid.T) {
		n := facts(rapid.SampledFrom(Incidents).Draw(t, "incident"))
		if n.Incident == RoleCompromised && rapid.Bool().Draw(t, "all roles") {
			n.Roles = n.Changed
		}
		if n.Incident == QuorumStolen && rapid.Bool().Draw(t, "a race") {
			n.Repin, n.New.Version = false, 8
		}
		first, later := n, n
		if n.Repin && rapid.Bool().Draw(t, "the old root is known in the first alone") {
			later.Old, later.Counted = RootFacts{}, false
		}
		text := string(Notice(now(first)))
		filled := map[string]string{} // by gap
		for i, gap := range gapForm.FindAllString(text, -1) {
			answer := fmt.Sprintf("answer%dx %s", i, strings.Join(words.Draw(t, "answer"), " "))
			if rapid.IntRange(0, 4).Draw(t, "leave") == 0 {
				continue
			}
			if i%2 == 1 { // as an editor that breaks lines does
				answer = strings.ReplaceAll(answer, " the ", "\n  the ")
			}
			if rapid.Bool().Draw(t, "paragraphs") {
				answer = strings.ReplaceAll(answer, " site)", "\n\nsite)")
			}
			filled[flat([]byte(gap))] = flat([]byte(answer))
			text = strings.Replace(text, gap, answer, 1)
		}
		plain := func(s string) string { return strings.ReplaceAll(s, "\\", "") } // what is escaped differs with the lines
		fresh, got := flat(Notice(later)), plain(flat(Notice(later, []byte(text))))
		for gap, answer := range filled {
			once := slices.ContainsFunc(ofTheDay, func(s string) bool { return strings.Contains(gap, s) })
			if there := strings.Contains(got, strings.TrimSuffix(plain(answer), ".")); there != (strings.Contains(fresh, gap) && !once) {
				t.Fatalf("%s\n%q is carried: %v\nfirst:\n%s\nsecond:\n%s", gap, answer, there, text, got)
			}
		}
		if !first.Counted || later.Counted {
			return
		}
		for _, s := range []string{"must sign a new root: 3 of 5.", "ends with version 7 is given up", "The old root expires on " + day(first.Old.Expires), "or may have: " + map[bool]string{true: "3", false: "none that we know of"}[n.Incident == QuorumStolen]} {
			if !strings.Contains(got, s) {
				t.Fatalf("%q is not carried:\n%s", s, got)
			}
		}
	})
}

// Whatever an earlier notice has become, the next one is one.
func TestNoticeAfterAnyOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := facts(rapid.SampledFrom(Incidents).Draw(t, "incident"))
		text := Notice(now(n))
		other := rapid.SliceOf(rapid.Byte()).Draw(t, "other")
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		got := Notice(n, slices.Concat(text[:at], other, text[at:]), other)
		if !utf8.Valid(got) {
			t.Fatalf("no UTF-8: %q", got)
		}
		for _, r := range string(got) {
			if r != '\n' && !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("%q in\n%s", r, got)
			}
		}
		if fresh := bytes.Split(Notice(n), []byte("## How to check it"))[1]; !bytes.Contains(got, bytes.Split(fresh, []byte("## Questions"))[0]) {
			t.Fatalf("another digest:\n%s", got)
		}
	})
}

// flat is a text without its line ends.
func flat(text []byte) string { return strings.Join(strings.Fields(string(text)), " ") }

// Nothing that a name, a reason or a key id holds becomes markup, control
// characters, or a line of its own.
func TestNoticeHostile(t *testing.T) {
	hostile := rapid.OneOf(rapid.String(), rapid.StringMatching("[-+=#>`*_<\\[\\]()!|~0-9.a \n\r\t\x1b\u202e\u2028]{0,40}"))
	shape := func(n NoticeFacts) []string { return structure(Notice(n)) }
	rapid.Check(t, func(t *rapid.T) {
		n := facts(rapid.SampledFrom(append([]Incident{"", "what?"}, Incidents...)).Draw(t, "incident"))
		clean := n
		clean.Project, clean.Reason = "name", "word"
		n.Project, n.Reason = "x"+hostile.Draw(t, "project"), "x"+hostile.Draw(t, "reason")
		clean.Dropped, clean.Added = []DroppedKey{{"id", "lost"}}, []string{"id"}
		n.Dropped = []DroppedKey{{"x" + hostile.Draw(t, "key id"), "x" + hostile.Draw(t, "why")}}
		n.Added = []string{"x" + hostile.Draw(t, "new key id")}
		text := Notice(n)
		if !utf8.Valid(text) {
			t.Fatalf("no UTF-8: %q", text)
		}
		for _, r := range string(text) {
			if r != '\n' && !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("%q in\n%s", r, text)
			}
		}
		if got, want := shape(n), shape(clean); !slices.Equal(got, want) {
			t.Fatalf("not the same Markdown:\n%q\n%q\n%s", got, want, text)
		}
	})
}

// structure is what makes the Markdown what it is: every marker at the beginning
// of a line, and every special character that is not escaped.
func structure(text []byte) []string {
	var marks []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "    ") { // a code block has no markup
			continue
		}
		first, _, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
		if strings.Trim(first, "#>-+=") == "" && first != "" || len(first) > 1 && strings.Trim(first[:len(first)-1], "0123456789") == "" && strings.ContainsAny(first[len(first)-1:], ".)") {
			marks = append(marks, first)
		}
		in := false // a code span
		for at := 0; at < len(line); at++ {
			switch c := line[at]; {
			case c == '`':
				in = !in
				marks = append(marks, "`")
			case in:
			case c == '\\':
				at++
			case strings.IndexByte("*_[]<>#|~&!$", c) >= 0 && (c != '#' || at > 0):
				marks = append(marks, string(c))
			}
		}
		if in {
			marks = append(marks, "a code span that does not end on its line")
		}
	}
	return marks
}

func TestIncidents(t *testing.T) {
	var all bytes.Buffer
	labels := map[string]bool{}
	for _, i := range Incidents {
		if !i.Known() || labels[i.Label()] || len(i.Label()) > 64 || len(i.Label()) < 10 {
			t.Errorf("%q: label %q", i, i.Label())
		}
		labels[i.Label()] = true
		advice := i.Advice()
		text := strings.Join(advice, " ")
		if len(advice) < 5 || len(advice) > 16 {
			t.Errorf("%q: %d lines of advice", i, len(advice))
		}
		for _, line := range advice {
			if n := utf8.RuneCountInString(line); n > columns || n == 0 || tuf.Clean(line) != line {
				t.Errorf("%q: %d columns: %s", i, n, line)
			}
		}
		if !strings.Contains(text, "First: ") {
			t.Errorf("%q: what comes first is not said", i)
		}
		if slow, haste := strings.Contains(text, "No race"), strings.Contains(text, "Here haste matters"); i != RootExpired && slow == haste {
			t.Errorf("%q: whether haste matters is not said", i)
		}
		fmt.Fprintf(&all, "%s: %s\n", string(i), i.Label())
		for _, line := range advice {
			fmt.Fprintf(&all, "    %s\n", line)
		}
	}
	if len(texts) != len(Incidents) {
		t.Errorf("%d texts for %d incidents", len(texts), len(Incidents))
	}
	if Incident("").Known() || Incident("").Label() != "" || Incident("").Advice() != nil {
		t.Error("no incident has advice")
	}
	golden(t, "incidents.txt", all.Bytes())
}

func TestReplaced(t *testing.T) {
	for _, c := range []struct{ roles, want string }{
		{"", ""}, {"root", ""}, {"timestamp", "timestamp"}, {"snapshot", "timestamp snapshot"}, {"targets", "timestamp snapshot targets"},
		{"timestamp snapshot", "timestamp snapshot"}, {"targets timestamp", "timestamp snapshot targets"}, {"nonsense", ""},
	} {
		t.Run(c.roles, func(t *testing.T) {
			if got := strings.Join(Replaced(strings.Fields(c.roles)), " "); got != c.want {
				t.Error(got)
			}
		})
	}
}

// The emergency guide has a page for every incident, and no link in it is dead.
func TestEmergencyGuide(t *testing.T) {
	guide := string(must(os.ReadFile("../../docs/emergency.md")))
	anchors := map[string]bool{}
	for line := range strings.Lines(guide) {
		if heading, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok {
			keep := func(r rune) rune {
				if r == ' ' {
					return '-'
				} else if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' {
					return unicode.ToLower(r)
				}
				return -1
			}
			anchors["#"+strings.Map(keep, heading)] = true
		}
	}
	for _, i := range Incidents {
		if !strings.Contains(guide, "\n## "+i.Label()+"\n") {
			t.Errorf("there is no page for %q: %s", i, i.Label())
		}
	}
	for rest := guide; ; {
		_, after, ok := strings.Cut(rest, "](#")
		if !ok {
			break
		}
		link, more, _ := strings.Cut(after, ")")
		if !anchors["#"+link] {
			t.Errorf("#%s leads nowhere", link)
		}
		rest = more
	}
}
