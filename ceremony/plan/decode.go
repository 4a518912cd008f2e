package plan

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/record"
	"rootceremony/keys"
)

// place is where a value stands in the file: the offsets of its key and of
// the value itself, in bytes.
type place struct{ key, Value int }

// decode fills the Plan from its Data. go-toml reads the values; into a struct
// it would take keys of any case, so the values come as maps and are taken out
// by name. Wrong types and unknown keys become faults; what is not TOML ends
// the reading with a *Error of one.
func (p *Plan) decode() error {
	p.lines = lineStarts(p.Data)
	if bytes.HasPrefix(p.Data, []byte("\ufeff")) {
		p.faultAt(0, "the file begins with a byte order mark (hint: save it as UTF-8 without one)")
		return p.Err()
	}
	var values map[string]any
	if err := toml.Unmarshal(p.Data, &values); err != nil {
		offset := 0
		if de := new(toml.DecodeError); errors.As(err, &de) {
			line, column := de.Position()
			offset = min(p.lines[line-1]+column-1, len(p.Data))
		}
		p.faultAt(offset, "not TOML: "+strings.TrimPrefix(err.Error(), "toml: "))
		return p.Err()
	}
	p.Where = places(p.Data)
	p.take(&section{p: p, values: values})
	return nil
}

// take takes the plan's values out of the document.
func (p *Plan) take(top *section) {
	p.Kind = top.text("kind")
	p.Name = top.text("name")
	p.Reason = top.text("reason")
	p.Trusted = top.text("trusted")
	p.Earlier = top.texts("earlier")
	p.Salt = top.text("salt")
	p.Incident = record.Incident(top.text("incident"))
	if p.Compromised = top.texts("compromised"); p.Compromised == nil && !p.absent("compromised") {
		p.Compromised = []string{}
	}
	top.one("root", func(s *section) {
		p.Root = RootPlan{Threshold: s.number("threshold"), Expires: s.text("expires"), ConsistentSnapshot: s.flag("consistent_snapshot", true)}
	})
	top.one("token", func(s *section) {
		p.Token = agreed.TokenPolicy{Algorithm: keys.Algorithm(s.text("algorithm")), Touch: keys.Touch(s.text("touch")), MinFirmware: s.text("min_firmware")}
	})
	top.one("backup", func(s *section) {
		p.Backup = BackupPlan{s.number("quorum"), s.texts("recipients")}
	})
	top.each("recipient", func(s *section) {
		p.Recipients = append(p.Recipients, Recipient{
			ID: s.text("id"), Name: s.text("name"), Age: s.text("age"), Passphrase: s.flag("passphrase", false), Site: s.text("site"),
		})
	})
	top.each("holder", func(s *section) {
		p.Holders = append(p.Holders, agreed.Holder{
			ID: s.text("id"), Name: s.text("name"), Token: s.text("token"), Site: s.text("site"),
			Custody: s.text("custody"), KeyID: s.text("keyid"), Spare: s.flag("spare", false),
			TargetsKeyID: s.text("targets_keyid"),
		})
	})
	top.each("person", func(s *section) {
		p.Persons = append(p.Persons, agreed.Person{Name: s.text("name"), Role: s.text("role")})
	})
	top.each("drop", func(s *section) {
		p.Drops = append(p.Drops, agreed.Drop{KeyID: s.text("keyid"), Reason: s.text("reason"), Name: s.text("name"), Token: s.text("token"), TargetsKeyID: s.text("targets_keyid")})
	})
	p.Roles = map[string]RolePlan{}
	top.one("role", func(roles *section) {
		for _, name := range agreed.OnlineRoles {
			roles.one(name, func(s *section) {
				if s.values != nil {
					p.Roles[name] = RolePlan{Threshold: s.number("threshold"), Files: s.texts("keys")}
				}
			})
		}
	})
	p.takeTargets(top)
	top.end()
}

// section is a table of the document. Its methods take values out of it:
// absent ones are zero, those of another type are faults, and so is whatever
// is left at the end.
type section struct {
	p      *Plan
	path   string // "", or as in "holder[2]"
	values map[string]any
	known  []string // the keys that were asked for
}

// take returns the value of a key, or nil.
func (s *section) take(key string) (any, string) {
	s.known = append(s.known, key)
	return s.values[key], join(s.path, key)
}

func (s *section) text(key string) string {
	v, path := s.take(key)
	return text(s.p, v, path)
}

func text(p *Plan, v any, path string) string {
	t, ok := v.(string)
	if v != nil && !ok {
		p.fault(path, "%s must be %s in quotes, not %s", last(path), map[bool]string{false: "a text", true: "texts"}[strings.HasSuffix(path, "]")], typeName(v))
	}
	return t
}

func (s *section) number(key string) int {
	v, path := s.take(key)
	n, ok := v.(int64)
	if v != nil && !ok {
		s.p.fault(path, "%s must be a whole number, not %s", key, typeName(v))
	}
	return int(n)
}

func (s *section) flag(key string, absent bool) bool {
	v, path := s.take(key)
	b, ok := v.(bool)
	if v != nil && !ok {
		s.p.fault(path, "%s must be true or false, not %s", key, typeName(v))
	}
	return b || v == nil && absent
}

func (s *section) texts(key string) []string {
	v, path := s.take(key)
	list, ok := v.([]any)
	if v != nil && !ok {
		s.p.fault(path, "%s must be a list of texts, not %s", key, typeName(v))
	}
	var texts []string
	for i, e := range list {
		texts = append(texts, text(s.p, e, agreed.Element(path, i)))
	}
	return texts
}

// one takes what is in a table, which may be absent.
func (s *section) one(key string, take func(*section)) {
	v, path := s.take(key)
	m, ok := v.(map[string]any)
	if v != nil && !ok {
		s.p.fault(path, "%s must be one table, [%s], not %s", key, path, typeName(v))
	}
	table := &section{p: s.p, path: path, values: m}
	take(table)
	table.end()
}

// each takes what is in every table of a list.
func (s *section) each(key string, take func(*section)) {
	v, path := s.take(key)
	list, ok := v.([]any)
	if v != nil && !ok {
		s.p.fault(path, "%s must be written [[%s]], once for each, not as %s", key, path, typeName(v))
	}
	for i, e := range list {
		at := agreed.Element(path, i)
		m, ok := e.(map[string]any)
		if !ok {
			s.p.fault(at, "%s must be written [[%s]], once for each, not as %s", key, path, typeName(e))
		}
		table := &section{p: s.p, path: at, values: m}
		take(table)
		table.end()
	}
}

// end makes a fault of every key that nothing asked for.
func (s *section) end() {
	for key := range s.values {
		if slices.Contains(s.known, key) {
			continue
		}
		text := fmt.Sprintf("unknown key %q (hint: known here: %s)", key, strings.Join(s.known, ", "))
		for _, k := range s.known {
			if strings.EqualFold(k, key) {
				text = fmt.Sprintf("wrong case: %q is written %q", key, k)
				s.p.said[join(s.path, k)] = true // nor is it missing
			}
		}
		s.p.faultAt(s.p.Where[join(s.path, key)].key, text)
	}
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a text"
	case int64:
		return "a number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date or time without quotes"
}

// faultAt adds a fault at an offset in the file.
func (p *Plan) faultAt(offset int, text string) {
	i, found := slices.BinarySearch(p.lines, offset)
	if !found {
		i--
	}
	p.faults = append(p.faults, Fault{i + 1, utf8.RuneCount(p.Data[p.lines[i]:offset]) + 1, text})
}

// lineStarts returns the offset of every line's first byte.
func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, b := range data {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// join makes the paths by which values are found: "root.threshold",
// "holder[2].name". Keys that TOML would quote are quoted.
func join(path, key string) string {
	bare := key != "" && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
	if !bare {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// last is the last key of a path, without the number of an element.
func last(path string) string {
	name := path[strings.LastIndexByte(path, '.')+1:]
	name, _, _ = strings.Cut(name, "[")
	return name
}

// maxPath bounds the length of a path, as a hostile file can nest deeply. The
// paths of a plan are shorter; below a longer one no position is needed.
const maxPath = 100

// places finds where every key and value of a TOML document stands. The
// document was read without an error before.
func places(data []byte) map[string]place {
	where := map[string]place{}
	count := map[string]int{} // elements of each [[table]] so far
	note := func(path string, at place) {
		if _, again := where[path]; !again {
			where[path] = at
		}
	}
	var parser unstable.Parser

	// enter follows the parts of a dotted key from path on, and notes each.
	enter := func(path string, key unstable.Iterator, appends bool) string {
		for key.Next() {
			if len(path) > maxPath {
				break
			}
			path = join(path, string(key.Node().Data))
			offset := int(key.Node().Raw.Offset)
			note(path, place{offset, offset})
			if appends && key.IsLast() {
				count[path]++
			}
			if n := count[path]; n > 0 {
				path = agreed.Element(path, n-1)
				note(path, place{offset, offset})
			}
		}
		return path
	}
	var pair func(path string, n *unstable.Node)
	var value func(path string, n *unstable.Node)
	value = func(path string, n *unstable.Node) {
		if at, ok := where[path]; ok && n.Raw.Length > 0 {
			where[path] = place{at.key, int(n.Raw.Offset)}
		}
		children := n.Children()
		switch n.Kind {
		case unstable.Array:
			for i := 0; len(path) <= maxPath && children.Next(); i++ {
				if offset := int(children.Node().Raw.Offset); children.Node().Raw.Length > 0 {
					note(agreed.Element(path, i), place{offset, offset})
				}
				value(agreed.Element(path, i), children.Node())
			}
		case unstable.InlineTable:
			for len(path) <= maxPath && children.Next() {
				pair(path, children.Node())
			}
		}
	}
	pair = func(path string, n *unstable.Node) { value(enter(path, n.Key(), false), n.Value()) }

	table := ""
	for parser.Reset(data); parser.NextExpression(); {
		switch e := parser.Expression(); e.Kind {
		case unstable.Table:
			table = enter("", e.Key(), false)
		case unstable.ArrayTable:
			table = enter("", e.Key(), true)
		case unstable.KeyValue:
			pair(table, e)
		}
	}
	return where
}
