package agreed_test

import (
	"strings"
	"testing"

	"rootceremony/ceremony/agreed"
)

// Names in one script are taken, and those that East Asian names mix; others are
// refused, and the character is named.
func TestNamesOfOneScript(t *testing.T) {
	for _, name := range []string{
		"Alice Costa", "Zoë d'Arc-Müller 2", "Иван Петров", "Νίκος Π.", "陈伟", "Chen Wei 陈伟", "佐藤 はな", "サトウ Hana", "김민준 Kim", "ㄔㄣˊ 陳", "محمد علي", "José (night shift)",
	} {
		if err := agreed.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, says := range map[string]string{
		"\u0410lice":        "has l (U+006C), which is Latin, beside Cyrillic letters",
		"Alic\u0435":        "has \u0435 (U+0435), which is Cyrillic, beside Latin letters",
		"Chen \u03bd":       "(U+03BD), which is Greek",
		"김민준 はな":            "which is Hiragana",
		"Иван 陈":            "which is Han",
		"Al\u200bice":       "U+200B, which cannot be printed",
		"Al\u3164ice":       "U+3164, which cannot be printed",
		"Al\u034fice":       "U+034F, which cannot be printed",
		"Alice\ufe0f":       "U+FE0F, which cannot be printed",
		"Alice\u2800":       "U+2800, which cannot be printed",
		"Al\u202eice":       "U+202E, which cannot be printed",
		"Alice\u00a0Costa":  "U+00A0, which cannot be printed",
		"Al\U000e0101ice":   "U+E0101, which cannot be printed",
		"\u115fAlice":       "U+115F, which cannot be printed",
		"Alice \u2066Costa": "U+2066, which cannot be printed",
	} {
		if err := agreed.CheckName(name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", name, err, says)
		}
	}
}

// Names and stickers of one plan that look alike are refused.
func TestNamesThatLookAlike(t *testing.T) {
	plan := backedUpExample(t, passphrase("Vault"))
	good, private := string(plan.JSON()), string(plan.PrivateJSON())
	for _, c := range []struct{ name, old, new, want string }{
		{"in Cyrillic", `"name": "Emil Novak"`, `"name": "Аӏісе Соѕта"`, `holder[4].name: name "Аӏісе Соѕта" looks like "Alice Costa": U+0410 stands where that has U+0041`},
		{"l and I", `"name": "Emil Novak"`, `"name": "AIice Costa"`, `holder[4].name: name "AIice Costa" looks like "Alice Costa": U+0049 stands where that has U+006C`},
		{"0 and O", `"name": "Wanda Meyer"`, `"name": "Dana 0kafor"`, `person[0].name: name "Dana 0kafor" looks like "Dana Okafor": U+0030 stands where that has U+004F`},
		{"the same person twice", `"name": "Wanda Meyer"`, `"name": "Alice Costa"`, ""},
		{"a recipient", `"name": "Vault"`, `"name": "ΑIice Costa"`, "which is Latin, beside Greek"},
		{"a sticker", `"token": "E-05"`, `"token": "A-O1"`, `holder[4].token: token "A-O1" looks like "A-01"`},
		{"room", `"id": "emil"`, `"id": "room"`, `holder[4].id: id "room" is what the record calls everybody together`},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad, kept := strings.Replace(good, c.old, c.new, 1), private
			if bad == good {
				if kept = strings.Replace(private, c.old, c.new, 1); kept == private {
					t.Fatal("nothing changed")
				}
				bad = resealed(t, good, kept)
			}
			_, err := agreed.Parse([]byte(bad), []byte(kept))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
