// A second checker of ceremony records, for Node with its own modules alone:
//
//	node checker.mjs [--rehearsal] [--root FILE.pem]... DIR
//
// It was written from docs/formats.md alone, and shares nothing with the program that makes
// the records: where the two differ, one of them is wrong, or the document is. It checks the
// log's lines, sums, tree and private parts; the plan; attestations, proofs of possession and
// checkpoints; recipients and files of backups; the draft, which it makes anew from plan and
// keys; signatures by the thresholds of the old root and the new; what is published; and all
// files, those that the log names and those that nothing does. It leaves out most of the
// order of events, rival roots, what WORDS.txt and EMBED.md say, and anchors. Certificates
// of --root that are their own issuers are trusted; others may lead to them.
//
// It prints what is wrong, a line each, as "file or line: what", or "good". Exit status:
// 0 good, 1 something is wrong, 2 usage, 3 verified so far, but not finished.

import { createHash, createPublicKey, verify, X509Certificate } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'

const wrong = [], open = []
class Wrong extends Error {}
const need = (ok, what) => { if (!ok) throw new Wrong(what) }
// Whatever is malformed is a finding where it stands, and stops nothing else.
function judge(where, f) {
  try { return f() } catch (e) { wrong.push(`${where}: ${e instanceof Wrong ? '' : 'malformed: '}${e.message}`) }
}

// Bytes, and JSON in its one form
const digest = (...parts) => parts.reduce((h, p) => h.update(p), createHash('sha256')).digest()
const sha = (...parts) => digest(...parts).toString('hex')
const unhex = s => (need(/^([0-9a-f]{2})+$/.test(s), 'not lower-case hex'), Buffer.from(s, 'hex'))
const text = bytes => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
const escaped = s => s.replace(/[\u2028\u2029]/g, c => '\\u' + c.charCodeAt(0).toString(16))
const compact = v => escaped(JSON.stringify(v)), pretty = v => escaped(JSON.stringify(v, null, 2)) + '\n'
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)
function parse(s, form) {
  const v = JSON.parse(s)
  need(form(v) === s, 'not written in the one way')
  return v
}
const byBytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))
const isObject = v => v !== null && typeof v === 'object' && !Array.isArray(v)
const sorted = v => Array.isArray(v) ? v.map(sorted) : !isObject(v) ? v
  : Object.fromEntries(Object.keys(v).sort(byBytes).map(k => [k, sorted(v[k])]))
const canonical = v => Array.isArray(v) ? `[${v.map(canonical)}]`
  : typeof v === 'string' ? `"${v.replace(/["\\]/g, '\\$&')}"`
  : isObject(v) ? `{${Object.keys(v).sort(byBytes).map(k => canonical(k) + ':' + canonical(v[k]))}}` : String(v)

// What members may be, by name. A spec names an object's members in order; those with "?" are
// there only if they are not empty, 0 or false.
const str = v => typeof v === 'string', bool = v => typeof v === 'boolean'
const number = v => Number.isSafeInteger(v) && v >= 0
const hex = n => v => str(v) && v.length === n && /^[0-9a-f]*$/.test(v)
const list = f => v => v === null || Array.isArray(v) && v.every(f)
const either = (f, g) => v => f(v) || g(v)
const object = spec => v => isObject(v) && (members(v, spec), true)
const id = v => str(v) && /^[a-z0-9][a-z0-9-]{0,31}$/.test(v)
const time = v => str(v) && !isNaN(Date.parse(v)) && new Date(v).toISOString().replace('.000', '') === v
const key = v => isObject(v) && same(Object.keys(v), ['algorithm', 'hex']) && (v.algorithm === 'ed25519'
  ? hex(64)(v.hex) : v.algorithm === 'ecdsa-p256' && hex(130)(v.hex) && v.hex.startsWith('04'))
const file = object('name sha256')
const FORMS = new Map([
  [hex(64), 'tree sum salt sha256 private random digest nonce key_id keyid list source answer plan_sha256 root program_sha256'],
  [hex(32), 'medium_id'], [hex(8), 'attempt'], [time, 'time expires next'], [list(hex(64)), 'key_ids'],
  [number, `seq serial intention size format bytes version threshold quorum slot line Major Minor Patch paper lines alarm`],
  [bool, `rehearsal replacement found_on_look imported puk_kept second_machine words entropy absent spare
    factory_puk consistent_snapshot`], [id, 'id enrols recipient who'], [v => v === '' || id(v), 'holder'],
  [str, 'type name memory program tokens why text expected happened decided sticker form_factor witness signature custody reason'],
  [key, 'authentication'], [either(bool, key), 'public'], [either(str, key), 'age'], [either(str, file), 'file'],
  [either(number, list(file)), 'files'], [list(file), 'evidence kit'], [file, 'sums fuller test'],
  [list(id), 'recipients maybe missing unconfirmed'], [list(str), 'ages failed backups'], [isObject, 'data plan roles prepared key proved'],
  [v => object(v?.name ? 'name sha256' : 'size root')(v), 'checkpoint'], [v => v === 'backups' || v === 'review', 'for'],
  [v => /^(sitting|token|words|nobody|differs)$/.test(v), 'how'], [list(object('slot public policy generated')), 'keys'], [object('Major Minor Patch'), 'firmware'], [list(object('name role')), 'persons'],
  [list(v => object(v.how ? 'holder how' : 'id name token? custody keyid? spare?')(v)), 'holders'], [list(object('id keyid reason name? token?')), 'drops'],
].flatMap(([form, names]) => names.split(/\s+/).map(name => [name, form])))
function members(v, spec) {
  const names = Object.keys(v)
  let i = 0
  for (const m of spec.split(/\s+/).filter(Boolean)) {
    const name = m.replace('?', ''), value = v[name]
    if (names[i] !== name) { need(m !== name, `"${name}" is missing, or in another place`); continue }
    need(m === name || value && value.length !== 0, `"${name}" is there, and empty`)
    need(FORMS.get(name)?.(value) ?? true, `"${name}" has not its form`)
    i++
  }
  need(i === names.length, `"${names[i]}" is unknown, or in another place`)
}
const PLAN = `format private rehearsal kind name reason? incident? compromised? version trusted? threshold expires
  consistent_snapshot token backup? earlier? holders drops? persons roles`

// The types of events: whose holder they name (N new, K kept, D dropped, O nobody), when they may stand (any; plan:
// from the plan until the end; after: later too; +: even after the last checkpoint), and the members of data, after
// "|" those of the private part. "*" stands for the members that acts on a token begin with.
const EVENTS = new Map(`- any: ceremony.begun format program program_sha256? rehearsal tokens enrols? random? | memory lines; preflight.done failed | findings;
  plan.agreed digest plan anchor? | salt plan_sha256 sites backup? earlier?; note text | text;
  exception expected happened decided | expected happened decided
- any+: ceremony.continued format program program_sha256? rehearsal tokens enrols?; log.set-aside file? bytes sha256? line?;
  task.failed | task error stack?
N after: wipe.intended * held why; wipe.done * intention; prepare.intended * sticker firmware form_factor;
  prepare.done * intention authentication age evidence; key.intended * slot algorithm touch origin attempt? entropy?;
  backup.stored * intention what public? | recipients ages quorum files; key.proved * nonce signature evidence;
  key.made * intention public evidence puk_kept found_on_look imported; holder.started-over * why;
  replacement.begun holder sticker why spare?; replacement.given-up * why; spare.used * why
NKD after: unblock.intended * factory_puk; unblock.done * intention; intention.settled * intention found state
NKD after: alarm.raised * keys; alarm.ended * alarm keys
NKD after+: checkpoint.signed * checkpoint signature
NKDO after: signature.rival holder version digest key_id signature source signed?
KD plan: token.shown * slot firmware form_factor authentication? age? evidence
D plan: retire.intended * held; retire.done * intention witness | backups; retire.without holder why
N plan: holder.collected * file checkpoint prepared key proved; holder.confirmed * sha256 words; drill.done holder | file by
NKD plan: signature.intended * version digest key_id; signature.made * intention version digest key_id signature file;
  signature.collected holder version digest key_id signature source file
- plan: recipient.proved | recipient age answer test? absent?; draft.made version digest expires bytes file unconfirmed?;
  start.compared paper; rollcall.held for holders;
  draft.reviewed digest second_machine; draft.differs digest; draft.abandoned digest why maybe; draft.resumed digest why;
  enrolment.handed-over file; root.published version digest file key_ids kit; checkpoints.waived;
  ceremony.sealed digest key_ids fuller?
- plan+: ceremony.closed sums checkpoint?
- after: copies.written | medium medium_id? files list; copies.read | medium medium_id list;
  checkup.passed | who serial? answer? puk_blocked?; checkup.done | missing puk_blocked? next
- after+: carry.intended public | medium medium_id; carry.done intention | medium_id list; carry.without`
  .split(/\n(?! )/).flatMap(row => {
    const [, who, when, late, rest] = /^(\S+) (\w+)(\+?): (.*)$/s.exec(row)
    return rest.split(';').map(e => {
      const [, type, shown, hidden] = /^\s*(\S+)([^|]*)\|?(.*)$/s.exec(e.replace('*', 'holder serial replacement?'))
      return [type, { who, when, late: late !== '', shown, hidden }]
    })
  }))

// Keys are held as SubjectPublicKeyInfo in DER, which begins with one of these.
const SPKI = { ed25519: '302a300506032b6570032100', 'ecdsa-p256': '3059301306072a8648ce3d020106082a8648ce3d030107034200',
  'ecdsa-p384': '3076301006072a8648ce3d020106052b81040022036200' }
const spki = k => Buffer.from(SPKI[k.algorithm] + k.hex, 'hex')
function signs(k, message, signature) {
  const algorithm = Object.keys(SPKI).find(a => k.toString('hex').startsWith(SPKI[a]))
  need(algorithm && (algorithm !== 'ed25519' || signature.length === 64), 'a key or signature of an unknown kind')
  const hash = { 'ecdsa-p256': 'sha256', 'ecdsa-p384': 'sha384' }[algorithm] ?? null
  return verify(hash, Buffer.from(message), createPublicKey({ key: k, format: 'der', type: 'spki' }), signature)
}
const pem = k => `-----BEGIN PUBLIC KEY-----\n${k.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END PUBLIC KEY-----\n`
const tufKey = k => k.algorithm === 'ed25519' ? { keytype: 'ed25519', keyval: { public: k.hex }, scheme: 'ed25519' }
  : { keytype: 'ecdsa', keyval: { public: pem(spki(k)) }, scheme: 'ecdsa-sha2-nistp256' }
const fromTuf = t => t.keytype === 'ed25519' ? spki({ algorithm: 'ed25519', hex: t.keyval.public })
  : Buffer.from(t.keyval.public.replace(/-----.*?-----/g, ''), 'base64')
const value = t => fromTuf(t).toString('hex')
function recipient(k) { // the age recipient of a key in 82: bech32 of its compressed point
  const point = Buffer.from(k.hex, 'hex'), letters = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
  const bits = Array.from([2 + point[64] % 2, ...point.subarray(1, 33)], b => b.toString(2).padStart(8, '0')).join('')
  const words = bits.match(/.{1,5}/g).map(b => parseInt(b.padEnd(5, '0'), 2)), prefix = [...Buffer.from('age1tag')]
  let sum = 1
  for (const w of [...prefix.map(c => c >> 5), 0, ...prefix.map(c => c & 31), ...words, 0, 0, 0, 0, 0, 0]) {
    const top = sum >>> 25
    sum = (sum & 0x1ffffff) << 5 ^ w
    ;[0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].forEach((g, i) => { if (top >> i & 1) sum ^= g })
  }
  for (let i = 25; i >= 0; i -= 5) words.push((sum ^ 1) >>> i & 31)
  return 'age1tag1' + words.map(w => letters[w]).join('')
}

// Certificates: node:crypto verifies them, but hides names, dates and extensions as they stand.
function der(b) {
  const items = []
  for (let at = 0; at < b.length;) {
    let size = b[at + 1], from = at + 2
    if (size > 0x80) { from += size - 0x80; size = parseInt(b.toString('hex', at + 2, from), 16) }
    need(from + size <= b.length, 'a certificate ends too early')
    items.push({ tag: b[at], whole: b.subarray(at, from + size), body: b.subarray(from, from + size) })
    at = from + size
  }
  return items
}
function certificate(bytes) {
  const x = new X509Certificate(bytes), tbs = der(der(der(x.raw)[0].body)[0].body), extensions = new Map()
  const [issuer, validity, subject] = tbs.slice(tbs[0].tag === 0xa0 ? 3 : 2).map(t => t.whole)
  for (const e of der(der(tbs.at(-1).body)[0].body)) {
    const [oid, ...rest] = der(e.body), name = oid.body.toString('hex')
    need(!extensions.has(name), 'an extension stands twice')
    extensions.set(name, { critical: rest.length > 1 && rest[0].body[0] > 0, body: rest.at(-1).body })
  }
  return { x, issuer, validity, subject, extensions, from: Date.parse(x.validFrom), to: Date.parse(x.validTo) }
}
const certificates = bytes => text(bytes).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g).map(certificate)
function leads(c, trust, from = c.from, to = c.to, below = 1) { // to a root, at one time at which all are valid
  return trust.find(t => {
    const start = Math.max(from, t.from), end = Math.min(to, t.to), self = t.subject.equals(t.issuer)
    if (below > 8 || start > end || !t.x.ca || !t.subject.equals(c.issuer) || !c.x.verify(t.x.publicKey)) return false
    const most = der(der(t.extensions.get('551d13').body)[0].body).find(i => i.tag === 2)
    return !(most?.body[0] < below) && (self || leads(t, trust, start, end, below + 1))
  })
}
const PIV = '2b0601040182c40a030', KNOWN = ['551d0e', '551d0f', '551d11', '551d13', '551d23', '551d25']
function attest(r, evidence, slot, serial, k) {
  const [c, f9] = evidence.map((e, i) => {
    const [found, ...more] = certificates(take(r, e))
    need(e.name === `evidence/${serial}/${i ? 'f9' : slot}.${sha(found.x.raw).slice(0, 8)}.pem` && !more.length, `${e.name}: not its name`)
    return found
  })
  const at = n => c.extensions.get(PIV + n)?.body ?? Buffer.alloc(0), up = leads(f9, r.trust)
  const bad = (ok, what) => need(ok, `the attestation of ${slot} ${what}`)
  bad(up && f9.x.ca, 'leads to no root that is trusted')
  const names = der(up.subject.equals(up.issuer) ? f9.subject : f9.issuer).flatMap(n => der(n.body)).map(n => der(der(n.body)[0].body))
  bad(names.some(([oid, n]) => oid.body.toString('hex') === '550403' && n.body.toString().startsWith('Yubico PIV ')), 'is not by the PIV applet')
  bad(c.issuer.equals(f9.subject) && c.x.verify(f9.x.publicKey), 'is not by that device')
  bad(c.validity.equals(f9.validity), "has other dates than the device's")
  bad([...c.extensions].every(([oid, e]) => !e.critical || KNOWN.includes(oid)), 'has an unknown critical extension')
  bad(c.x.subject === 'CN=YubiKey PIV Attestation ' + slot, 'is of another slot')
  bad(c.x.publicKey.export({ format: 'der', type: 'spki' }).equals(spki(k)), 'is of another key')
  const [number] = der(at(7)), version = [...at(3)], least = r.plan.token.min_firmware.split('.').map(Number)
  const i = version.findIndex((n, j) => n !== least[j])
  bad(version.length === 3 && (i < 0 || version[i] > least[i]), 'shows firmware that is too old')
  bad(number.tag === 2 && parseInt(number.body.toString('hex'), 16) === serial, 'is of another serial number')
  const touch = slot === '9a' ? 1 : slot === '9c' && r.plan.token.touch === 'cached' ? 3 : 2
  bad(at(8).equals(Buffer.from([3, touch])), 'shows another PIN or touch policy')
  bad(at(9).length <= 1 && !(at(9)[0] & 0x80), 'shows a form factor that is refused')
  return { Major: version[0], Minor: version[1], Patch: version[2] }
}

// Roots. A threshold counts keys by value, not by id.
function readRoot(s) {
  const root = JSON.parse(s), plain = s.replace(/"(?:[^"\\]|\\.)*"|\s+/g, t => t[0] === '"' ? JSON.stringify(JSON.parse(t)) : '')
  const once = v => !(v instanceof Object) || new Set(Object.keys(v).map(k => k.toLowerCase())).size ===
    Object.keys(v).length && Object.values(v).every(once)
  need(plain === JSON.stringify(root) && once(root), 'a name stands twice, or a number is no integer')
  need(new Set(root.signatures.map(s => s.keyid)).size === root.signatures.length, 'a key id stands twice')
  return root
}
const rootFile = (signed, sigs) => JSON.stringify(sorted({ signatures: sigs.map(({ keyid, sig }) => ({ keyid, sig }))
  .sort((a, b) => byBytes(a.keyid, b.keyid)), signed }), null, 2) + '\n'
const verified = (t, signed, sig) => t && signs(fromTuf(t), canonical(signed), unhex(sig))
const reached = ({ roles: { root }, keys }, ids) => root.threshold > 0 &&
  new Set(ids.filter(i => root.keyids.includes(i)).map(i => value(keys[i]))).size >= root.threshold
const signedBy = ({ signed, signatures }, by) => reached(by, signatures.map(s => s.keyid).filter((i, n) =>
  by.roles.root.keyids.includes(i) && verified(by.keys[i], signed, signatures[n].sig)))
const complete = (r, signed, ids) => reached(signed, ids) && (!r.old || reached(r.old, ids))
const isNew = h => h.custody && h.custody !== 'existing'
function draft({ plan, old }, expires, keyOf) { // what is signed of the root that follows from the plan and these keys
  const signed = { ...old, _type: 'root', spec_version: '1.0.34', version: plan.version, expires, keys: {},
    consistent_snapshot: plan.consistent_snapshot, roles: { ...old?.roles }, 'x-rehearsal': true }
  if (!plan.rehearsal) delete signed['x-rehearsal']
  const put = (i, t) => { signed.keys[i] = t; return i }
  const place = t => { // under the id that the trusted root has for it, if it has
    const known = Object.keys(old?.keys ?? {}).find(i => value(old.keys[i]) === value(t))
    return known ? put(known, old.keys[known]) : put(sha(canonical(t)), t)
  }
  for (const name of ['timestamp', 'snapshot', 'targets']) {
    const { threshold, keys } = plan.roles[name] ?? {}
    if (keys) signed.roles[name] = { ...old?.roles[name], threshold, keyids: keys.map(place) }
    else old.roles[name].keyids.forEach(i => put(i, old.keys[i]))
  }
  const stay = (old?.roles.root.keyids ?? []).filter(i => plan.holders.some(h => h.keyid === i)).map(i => put(i, old.keys[i]))
  const come = plan.holders.filter(isNew).map(h => place(tufKey(keyOf(h))))
  signed.roles.root = { ...old?.roles.root, threshold: plan.threshold, keyids: [...stay, ...come] }
  return signed
}

// The log. A last line that doesn't fit its sum is what a death has left, unless it begins with a whole one.
function readLog(name, bytes = Buffer.alloc(0), spec) {
  const lines = []
  for (let at = 0, end; at < bytes.length; at = end + 1) {
    end = bytes.indexOf(10, at) < 0 ? bytes.length : bytes.indexOf(10, at)
    const b = bytes.subarray(at, end), where = `${name} line ${lines.length + 1}`
    const whole = [...b.toString('latin1').matchAll(/,"sum":"([0-9a-f]{64})"\}/g)].filter(m => sha(b.subarray(0, m.index)) === m[1])
    if (end + 1 >= bytes.length && !whole.length) { open.push(`${where}: cut short`); break }
    lines.push({ where, bytes: b, ...judge(where, () => {
      need(b.length <= 1 << 20 && whole.some(m => m.index + m[0].length === b.length), 'does not fit its sum, or is too long')
      const v = parse(text(b), compact)
      members(v, spec)
      return v
    }) })
  }
  return lines
}
function treeRoots(lines) { // the root hash over the first n lines, for each n
  const peaks = [], roots = [sha('')]
  for (const l of lines) {
    peaks.push({ size: 1, hash: digest('\0', l.bytes) })
    while (peaks.at(-2)?.size === peaks.at(-1).size) {
      const [a, b] = peaks.splice(-2)
      peaks.push({ size: 2 * a.size, hash: digest('\x01', a.hash, b.hash) })
    }
    roots.push(peaks.map(p => p.hash).reduceRight((right, left) => digest('\x01', left, right)).toString('hex'))
  }
  return roots
}
const covers = (r, serial, seq) => r.checkpoints.some(c => c.serial === serial && c.size >= seq)
const excused = (r, l) => r.lines[l.seq - 2]?.type === 'exception'
const counts = (r, it, s) => !r.rivals.has(s.keyid) && !r.plan.earlier?.some(e => e.signed?.includes(s.keyid)) &&
  [...r.drafts.values()].every(o => o === it || !o.sigs.has(s.keyid) && !o.maybe?.includes(s.holder))
// The bytes of a file that the log names; with bytes that they must be (null: any) it may come later.
function take(r, f, bytes) {
  const found = r.files.get(f.name)
  need((r.named.get(f.name) ?? f.sha256) === f.sha256, `${f.name}: named with two SHA-256`)
  r.named.set(f.name, f.sha256)
  need(!(bytes?.length >= 0) || sha(bytes) === f.sha256, `${f.name}: not the SHA-256 that follows`)
  if (!found && bytes !== undefined) return r.later.push(f.name)
  need(found && sha(found) === f.sha256, `${f.name}: ${found ? 'not the SHA-256 in the log' : 'not there'}`)
  return found
}
function token(r, l, d, h, firmware) { // what a token attests
  const t = { at: l.seq, auth: d.authentication, age: d.age }, all = [...r.tokens].filter(([s]) => s !== d.serial).map(([, o]) => o)
  const slots = [['9a', t.auth], ['82', t.age]].filter(([, k]) => k)
  if (!d.replacement) h.own = d.serial
  r.tokens.set(d.serial, t)
  need((d.evidence ?? []).length === 2 * slots.length, 'not two certificates for each key')
  slots.forEach(([slot, k], i) => need(same(attest(r, d.evidence.slice(2 * i, 2 * i + 2), slot, d.serial, k), firmware) &&
    all.every(o => !same(o.auth, k) && !same(o.age, k)), `${slot}: not the firmware that is attested, or a key of another token`))
  t.good = true
}

const checkpoint = (r, size) => `${r.origin}\n${size}\n${Buffer.from(r.roots[size], 'hex').toString('base64')}\n`
const differs = (r, h, t, k, all) => [[154, t.auth], [130, t.age], [156, t.root]].some(([slot, mine]) =>
  k.slot === slot && mine && !same(k.public, mine) && (slot !== 156 || !all.some(o => same(o.public, mine))))
const quiet = r => need(!r.alarms.size, 'there is an alarm')
// Whom a roll call is about, with the keys that it is for, and those whom nobody has confirmed, if it was held
const about = (r, what) => [...r.holders.values()].filter(h => h.role !== 'D' && r.tokens.has(h.own) && (what === 'backups' || h.role === 'N'))
  .map(h => ({ h, t: r.tokens.get(h.own) })).map(({ h, t }) => ({ id: h.id, t, keys: [t.auth, t.age, what === 'review' && t.root] }))
function called(r, what) {
  const now = about(r, what), call = r.calls.get(what), nobody = (call ?? []).filter(c => c.how === 'nobody').map(c => c.holder)
  const held = !now.length || call && same(call.map(c => [c.holder, c.keys]), now.map(a => [a.id, a.keys])) && call.every(c => c.how !== 'differs')
  const most = Math.min(r.plan.threshold, what === 'backups' ? r.plan.backup.quorum : Infinity)
  return held && (!nobody.length || nobody.length < most) && nobody
}

// What events are held to: r is the record so far, l the line, d its data, p its private part where that is here, h the
// holder that it names, t the token, act the line that announced it.
const rules = {
  'ceremony.begun'(r, l, d) {
    r.begun = d
    r.start = 1
    need(d.format === 2 && d.random, 'not of format 2, or without random bytes')
    need(!d.rehearsal || r.rehearsal, 'a rehearsal, which --rehearsal alone accepts')
  },
  'ceremony.continued'(r, l, d) {
    r.start = l.seq
    need(['format', 'rehearsal', 'tokens', 'enrols'].every(m => d[m] === r.begun[m]), 'other than line 1')
  },
  'start.compared': (r, l, d) => need(d.paper < l.seq, 'more lines on paper than in the log'),
  'log.set-aside': (r, l, d) => d.file && take(r, { name: d.file, sha256: d.sha256 }),
  'plan.agreed'(r, l, d, p) {
    const plan = d.plan, { salt, ...rest } = p ?? {}, people = [...plan.holders, ...plan.drops ?? []]
    members(plan, PLAN)
    Object.assign(r, { plan, digest: d.digest, hidden: p })
    people.forEach(h => r.holders.set(h.id, { ...h, role: isNew(h) ? 'N' : h.custody ? 'K' : 'D' }))
    take(r, { name: 'plan.resolved.json', sha256: d.digest }, pretty(plan))
    if (p) take(r, { name: 'private/plan.json', sha256: sha(pretty(p)) }, pretty(p))
    need(!p || sha(unhex(salt), compact(rest)) === plan.private, 'the private plan is not the one that the plan commits to')
    need(plan.format === 2 && plan.rehearsal === r.begun.rehearsal && r.holders.size === people.length, 'format, rehearsal or an id twice')
    need((d.private || r.begun.enrols) && !d.anchor === !plan.trusted && !plan.trusted === (plan.kind === 'create'), 'something is missing')
    const chain = plan.trusted?.versions ?? [], now = plan.trusted && readRoot(plan.trusted.root)
    need(plan.version === (chain.at(-1)?.version ?? 0) + 1, 'another version')
    if (!now) return
    r.old = now.signed
    need(sha(plan.trusted.root) === chain.at(-1).sha256 && same(people.filter(h => h.keyid).map(h => h.keyid).sort(),
      [...r.old.roles.root.keyids].sort()), 'the trusted root is not the newest, or its keys not those of holders and drops')
    chain.slice(r.begun.enrols ? -1 : 0).reduce((before, v) => {
      const root = readRoot(text(take(r, { name: `trusted/${v.version}.root.json`, sha256: v.sha256 })))
      need(root.signed.version === v.version && (!before || before.version + 1 === v.version) &&
        [root.signed, before ?? root.signed].every(by => signedBy(root, by)), `trusted/${v.version}.root.json: not signed as it must be`)
      return root.signed
    }, undefined)
  },
  'prepare.intended': (r, l, d, p, h) => need(d.sticker === (d.replacement ? r.next.sticker : h.token), 'another sticker than planned'),
  'prepare.done': (r, l, d, p, h, t, act) => token(r, l, d, h, act.data.firmware),
  'token.shown': (r, l, d, p, h) => token(r, l, d, h, d.firmware),
  'recipient.proved'(r, l, d, p) {
    const h = r.holders.get(p?.recipient), planned = r.hidden?.backup.recipients.find(x => x.id === p?.recipient)
    need(!p || p.age === (h ? recipient(r.tokens.get(h.own).age) : planned.age ?? 'passphrase'), 'another age recipient')
    need(!p || r.shown.get(p.recipient) !== p.age && (!p.absent || excused(r, l)), 'a second time, or absent without an exception')
    if (p) r.shown.set(p.recipient, p.age)
  },
  'key.intended'(r, l, d, p, h, t) {
    const { algorithm, touch } = r.plan.token, origin = h.custody === 'on-token' ? 'token' : 'session'
    need(t && !t.root && d.slot === 156 && d.algorithm === algorithm && d.touch === touch && !d.attempt === !r.plan.backup &&
      d.origin === (d.replacement ? 'held' : origin), 'not prepared, or not as planned')
    need(d.replacement || !r.plan.backup || called(r, 'backups'), 'no roll call was held')
    t.stored = []
  },
  'backup.stored'(r, l, d, p, h, t, act) {
    need(act.type === 'key.intended' && (d.what === 'key') === !!d.public, 'no root key is being made')
    t.stored.push({ seq: l.seq, what: d.what, public: d.public, ages: p?.ages })
    need([...r.alarms.values()].every(a => a.over), 'sealed while there is an alarm')
    if (!p) return
    const others = r.hidden.backup.holders ? r.plan.holders.map(o => o.id).filter(o => o !== h.id) : [], { recipients } = r.hidden.backup
    need(same(p.recipients, [...others, ...recipients.map(o => o.id)]), 'other recipients than planned')
    need(p.recipients.every((o, i) => r.shown.get(o) === p.ages[i]), 'a recipient has not shown that they open')
    need(others.map(o => r.holders.get(o).own).every(s => covers(r, s, r.tokens.get(s).at)), 'a recipient has signed no checkpoint')
    const groups = p.recipients.reduce((all, o) => [...all, ...all.map(g => [...g, o])], [[]]).filter(g => g.length === p.quorum)
    const forms = groups.map(g => g.sort().join('+')), start = `private/backups/${h.id}/${act.data.attempt}/`, end = `.${d.what}.age`
    const found = p.files.map(f => start + f.name.slice(start.length, -end.length).split('+').sort().join('+') + end)
    need(p.quorum === r.plan.backup.quorum && same(found.sort(), forms.map(g => start + g + end).sort()), 'not a file for every quorum')
    p.files.forEach(f => take(r, f))
  },
  'key.made'(r, l, d, p, h, t, act) {
    const { origin } = act.data, planned = r.plan.token.algorithm
    t.root = d.public
    t.made = l.seq
    need(d.public.algorithm === planned && d.imported === (origin !== 'token') && d.puk_kept === !!r.plan.backup, 'not as planned')
    need([...r.holders.values()].every(o => o === h || !same(o.root, d.public)), "another holder's key")
    need(!r.plan.backup || t.stored.some(s => s.what === 'token'), 'no backup of PUK and management key')
    need(origin === 'token' || same(origin === 'held' ? h.root : t.stored.find(s => s.what === 'key')?.public, d.public), 'no backup of this key')
    if (origin === 'token') attest(r, d.evidence, '9c', d.serial, d.public)
  },
  'key.proved'(r, l, d, p, h, t) {
    const said = { plan: r.digest, nonce: d.nonce, holder: h.id, serial: d.serial, root: t.root, authentication: t.auth, age: recipient(t.age) }
    let n = 0 // the size is that of the planned root with any other keys
    const any = () => ({ algorithm: t.root.algorithm, hex: String(++n).padStart(t.root.hex.length, '0') })
    const size = canonical(draft(r, r.plan.expires, any)).length, message = `rootceremony proof of possession 1\n${compact(said)}`.padEnd(size)
    need(signs(spki(t.root), message, unhex(d.signature)), 'the proof of possession is not good')
    need(d.evidence[0].name === `evidence/${d.serial}/possession.${d.nonce.slice(0, 8)}.json` && !d.evidence[1], 'other evidence')
    take(r, d.evidence[0], pretty({ message, signature: d.signature }))
    Object.assign(h, { root: t.root, proved: l.seq, stored: t.stored, [d.replacement && r.next.spare ? 'spare' : 'own']: d.serial })
    if (d.replacement) r.next = undefined
  },
  'wipe.done': (r, l, d, p, h, t) => need(!t?.root && !r.tokens.delete(d.serial) || !t?.root, 'a token with a root key'),
  'holder.started-over'(r, l, d, p, h) {
    r.tokens.delete(d.serial)
    for (const a of r.alarms.values()) if (a.holder === h.id) a.over = true
    if (!d.replacement) Object.assign(h, { root: undefined, proved: undefined })
  },
  'replacement.begun': (r, l, d) => { r.next = d }, 'replacement.given-up': r => { r.next = undefined }, 'spare.used': (r, l, d, p, h) => { h.own = h.spare },
  'holder.collected'(r, l, d, p, h) {
    const f = parse(text(take(r, d.file)), pretty), files = new Map(Object.entries(f.evidence).map(([n, s]) => [n, Buffer.from(s)]))
    need(same(Object.keys(f), ['format', 'holder', 'log', 'evidence']) && f.format === 'rootceremony enrolment 1' && f.holder === h.id &&
      d.file.name === `evidence/${d.serial}/enrolment.${d.file.sha256.slice(0, 8)}.json`, 'not its form')
    const sub = audit(files.set('transcript.jsonl', Buffer.from(f.log)), r, d.file.name + ': '), its = sub.holders.get(h.id), last = sub.lines.at(-1)
    need(sub.begun.enrols === h.id && sub.digest === r.digest && its.own === d.serial, 'of another holder, plan or token')
    need(last.type === 'checkpoint.signed' && last.data.checkpoint.size === last.seq - 1 && its.proved, 'does not end as it must')
    need(same(d.checkpoint, { size: last.seq, root: sub.roots.at(-1) }) && ['prepare.done', 'key.made', 'key.proved'].every((type, i) =>
      same(sub.lines.findLast(x => x.type === type).data, [d.prepared, d.key, d.proved][i])), 'its log says otherwise')
    for (const [name, sha256] of sub.named) if (name.startsWith('evidence/')) take(r, { name, sha256 })
    r.tokens.set(d.serial, sub.tokens.get(d.serial))
    Object.assign(h, its, { file: d.file.sha256 })
  },
  'holder.confirmed'(r, l, d, p, h) {
    h.confirmed = true
    need(d.sha256 === h.file && (d.words || excused(r, l)), 'another file, or no words')
  },
  'enrolment.handed-over'(r, l, d) {
    r.closed = l
    quiet(r)
    need(r.holders.get(r.begun.enrols).proved && take(r, d.file), 'the key is not proved')
  },
  'rollcall.held'(r, l, d) {
    const all = about(r, d.for), since = t => (d.for === 'review' ? t.made : t.at) > r.start
    r.calls.set(d.for, d.holders.map((c, i) => ({ ...c, keys: all[i]?.keys })))
    need(same(d.holders.map(c => c.holder), all.map(a => a.id)), 'not everybody whom it is about, in order')
    need(d.holders.every((c, i) => c.how !== 'sitting' || since(all[i].t)), 'a key was made in another sitting')
  },
  'alarm.raised'(r, l, d, p, h, t) {
    const mine = r.tokens.get(h.own)
    r.alarms.set(l.seq, { holder: h.id, serial: h.own, age: mine?.age })
    need(!r.owners.has(d.serial) || t && d.keys.some(k => differs(r, h, t, k, d.keys)), 'the token has the keys that the log has')
  },
  'alarm.ended'(r, l, d, p, h) {
    const a = r.alarms.get(d.alarm), t = r.tokens.get(h.own), has = k => !k || d.keys.some(o => same(o.public, k))
    need(a?.holder === h.id && a.serial === d.serial, 'no such alarm is open')
    const sealed = a.age && [...r.tokens.values()].some(o => o.stored?.some(s => s.ages?.includes(recipient(a.age))))
    need(t && d.keys?.length ? [t.auth, t.age, t.root].every(has) : a.over && !r.live && !sealed, 'the token does not agree')
    r.alarms.delete(d.alarm)
  },
  'draft.made'(r, l, d) {
    const last = r.plan.rehearsal ? new Date(Date.parse(l.time) + 864e5).toISOString() : r.plan.expires
    need(r.plan.rehearsal ? d.expires.slice(0, 19) <= last.slice(0, 19) : d.expires === last, 'expires at another time')
    quiet(r)
    const nobody = called(r, 'review')
    need(nobody && same(nobody, d.unconfirmed ?? []), 'no roll call was held, or it has others whom nobody confirms')
    need([...r.holders.values()].every(h => h.role !== 'N' || h.root && (!h.file || h.confirmed)), 'a key is not proved, or not confirmed')
    const signed = draft(r, d.expires, h => r.holders.get(h.id).root), bytes = canonical(signed), start = r.plan.rehearsal ? 'rehearsal.' : ''
    need(!r.live && !r.drafts.has(d.digest) && sha(bytes) === d.digest && Buffer.byteLength(bytes) === d.bytes && d.version === r.plan.version &&
      d.file.name === `metadata/${d.digest.slice(0, 8)}/${start}${d.version}.root.unsigned.json`, 'not the draft that follows')
    r.drafts.set(r.live = d.digest, { signed, sigs: new Map() })
    take(r, d.file, rootFile(signed, []))
  },
  'draft.reviewed'(r, l, d) { need(d.digest === r.live, 'not the live draft'), r.drafts.get(r.live).reviewed = true },
  'draft.abandoned'(r, l, d) { need(d.digest === r.live, 'not the live draft'), r.drafts.get(r.live).maybe = d.maybe, r.live = undefined },
  'draft.resumed'(r, l, d) { quiet(r), need(!r.live && r.drafts.has(d.digest), 'not an abandoned draft'), r.live = d.digest },
  'signature.made'(r, l, d, p, h) {
    const it = r.drafts.get(d.digest), made = l.type === 'signature.made', roots = [it.signed, r.old].filter(Boolean)
    const keyid = h.keyid ?? Object.keys(it.signed.keys).find(i => h.root && value(it.signed.keys[i]) === value(tufKey(h.root)))
    if (made) quiet(r)
    need(!made || d.digest === r.live && it.reviewed && !r.sealed, 'not of the live draft, not reviewed, or sealed')
    need(d.version === r.plan.version && d.key_id === keyid && !it.sigs.has(keyid), "another version, not the holder's key, or twice")
    need(roots.some(o => o.roles.root.keyids.includes(keyid) && verified(o.keys[keyid], it.signed, d.signature)), 'the signature is not good')
    need(d.file.name === `metadata/${d.digest.slice(0, 8)}/${h.id}.${keyid.slice(0, 8)}.sig.json`, 'another file name')
    it.sigs.set(keyid, { keyid, sig: d.signature, seq: l.seq, holder: h.id, serial: made && r.tokens.get(d.serial)?.auth && d.serial })
    take(r, d.file, pretty({ keyid, sig: d.signature }))
  },
  'signature.rival': (r, l, d) => r.rivals.add(d.key_id),
  'checkpoint.signed'(r, l, d, p, h, t) {
    const { size, root } = d.checkpoint, k = t.auth, said = checkpoint(r, size)
    const b = Buffer.from(d.signature, 'base64'), keyID = k.algorithm === 'ed25519' ? sha(r.origin, '\n\x01', unhex(k.hex)) : sha(spki(k))
    need(size < l.seq && root === r.roots[size], 'not a checkpoint of this log')
    need(t.good && b.toString('base64') === d.signature && b.toString('hex', 0, 4) === keyID.slice(0, 8) &&
      signs(spki(k), said, b.subarray(4)), 'not signed by an attested key in 9a')
    r.checkpoints.push({ serial: d.serial, size, holder: h.id, signature: d.signature })
  },
  'root.published'(r, l, d) {
    const it = r.drafts.get(d.digest), sigs = d.key_ids.map(i => it.sigs.get(i)), n = r.plan.version, bytes = rootFile(it.signed, sigs)
    quiet(r)
    need(!r.published && d.digest === r.live && d.version === n && d.file.name === `publish/${n}.root.json`, 'twice, or of another root')
    need(sigs.every(s => counts(r, it, s)) && complete(r, it.signed, d.key_ids), 'the signatures do not reach the thresholds')
    r.publish = (r.plan.trusted?.versions ?? []).map(v => ({ name: `publish/${v.version}.root.json`, sha256: v.sha256 })).concat(d.file, d.kit)
    r.published = d
    const said = `${r.plan.rehearsal ? '# REHEARSAL: this root is not to be trusted by anybody.\n' : ''}${sha(bytes)}  root.json\n`
    const names = r.publish.slice(-4).map(f => f.name), kit = ['root.json', 'root.json.sha256', 'WORDS.txt', 'EMBED.md']
    need(d.kit.length === 4 && same(names, kit.map(f => 'publish/trust/' + f)), 'another trust kit')
    r.publish.forEach((f, i) => take(r, f, [bytes, bytes, said][i - r.publish.length + 5] ?? null))
  },
  'ceremony.sealed'(r, l, d) {
    const it = r.drafts.get(d.digest), sigs = d.key_ids.map(i => it.sigs.get(i)), more = d.key_ids.length > r.published.key_ids.length
    need(!r.sealed && d.digest === r.live && sigs.every(s => counts(r, it, s)) && !d.fuller === !more, 'twice, or with other signatures')
    r.sealed = l
    need(!more || d.fuller.name === `publish/fuller/${r.plan.version}.root.json`, 'another file name')
    if (more) r.publish.push(d.fuller), take(r, d.fuller, rootFile(it.signed, sigs))
  },
  'ceremony.closed'(r, l, d) {
    need(r.sealed && d.sums.name === 'publish/SHA256SUMS', 'not sealed, or another file name')
    r.closed = l
    const size = r.sealed.seq, by = [...r.holders.keys()].map(i => r.checkpoints.find(c => c.holder === i && c.size === size)).filter(Boolean)
    const able = [...r.drafts.get(r.live).sigs.values()].some(s => r.tokens.get(r.holders.get(s.holder).own)?.auth)
    need(by.length ? d.checkpoint?.name === 'publish/checkpoint' : !able && !d.checkpoint, 'nobody has signed the seal, or another file name')
    if (by.length) take(r, d.checkpoint, checkpoint(r, size) + '\n' + by.map(c => `\u2014 ${r.origin} ${c.signature}\n`).join(''))
    if (by.length) r.publish.push(d.checkpoint)
    take(r, d.sums, r.publish.map(f => `${f.sha256}  ${f.name.slice(8)}\n`).join(''))
  },
  'drill.done': (r, l, d, p) => need(!p || r.named.get(p.file.name) === p.file.sha256 && p.file.name.startsWith(`private/backups/${d.holder}/`), 'no backup'),
}
rules['signature.collected'] = rules['signature.made']
rules['checkpoints.waived'] = rules['carry.without'] = (r, l) => need(excused(r, l), 'without an exception')
const OWN = /^(key|backup|checkpoint|signature|holder\.confirmed)/
function event(r, l) {
  const { type, by, data: d, part: p } = l, e = EVENTS.get(type), bare = same(Object.keys(d), ['private'])
  need(e && (l.seq === 1) === (type === 'ceremony.begun'), 'an unknown type, or not in its place')
  members(d, bare ? 'private' : e.shown + (!e.hidden ? '' : /note|exception|plan|begun/.test(type) ? ' private?' : ' private'))
  if (p) members(p, e.hidden)
  need(!bare || e.hidden && by === 'room', 'nothing of it is public, and it is not by the room')
  need(by === 'room' || r.holders.has(by), 'by nobody whom the plan knows')
  need((e.when === 'any' || r.plan) && (e.when !== 'plan' || !r.closed) && (type !== 'plan.agreed' || !r.plan), 'not at this time')
  const h = r.holders.get(d.holder), act = r.acts.get(d.serial), about = type.replace(/\.\w+$/, '.intended')
  need(d.holder === undefined || (h ? e.who.includes(h.role) : d.holder === '' && e.who.includes('O')), 'of no such holder')
  if (d.serial !== undefined) {
    need(d.serial > 0 && (r.owners.get(d.serial) ?? h.id) === h.id, "another holder's token")
    if (type !== 'alarm.raised') r.owners.set(d.serial, h.id)
    need(d.replacement ? r.next?.holder === h.id : h.own === d.serial || !OWN.test(type), "not the holder's own token")
    need(type !== about || !act, 'another act of the token is open')
  }
  if (type.startsWith('carry')) need(!d.intention || r.lines[d.intention - 1]?.type === about, 'no such intention')
  else need(!d.intention || act?.seq === d.intention && (act.type === about || /settled|stored/.test(type)), 'no such intention is open')
  if (type === about) r.acts.set(d.serial, l)
  else if (d.intention && type !== 'backup.stored') r.acts.delete(d.serial)
  rules[type]?.(r, l, d, p, h, r.tokens.get(d.serial), act)
}
function audit(files, { trust, rehearsal }, prefix = '') {
  const r = { files, trust, rehearsal, holders: new Map(), tokens: new Map(), owners: new Map(), acts: new Map(), shown: new Map(),
    drafts: new Map(), rivals: new Set(), checkpoints: [], alarms: new Map(), calls: new Map(), named: new Map(), later: [] }
  const lines = r.lines = readLog(prefix + 'transcript.jsonl', files.get('transcript.jsonl'), 'seq time type by data tree sum')
  need(lines.length, `${prefix}transcript.jsonl: no line`)
  r.roots = treeRoots(lines)
  r.origin = 'rootceremony.invalid/' + sha(lines[0].bytes).slice(0, 32)
  if (!prefix && [...files.keys()].some(f => f.startsWith('private/'))) {
    const hidden = readLog('private/transcript.jsonl', files.get('private/transcript.jsonl'), 'seq salt data sum')
    for (const [i, x] of hidden.entries()) judge(x.where, () => {
      const l = lines[x.seq - 1]
      if (x.seq === lines.length + 1 && i === hidden.length - 1) return open.push(`${x.where}: no public line names it`)
      need((i === 0 || hidden[i - 1].seq < x.seq) && l?.data?.private === sha(unhex(x.salt), compact(x.data)), 'no public line commits to it here')
      l.part = x.data
    })
    for (const l of lines) judge(l.where, () => need(l.part || !l.data?.private, 'its private part is missing'))
  }
  const bent = lines.findIndex((l, i) => l.tree !== r.roots[i])
  if (bent >= 0) wrong.push(`${lines[bent].where}: tree is not the root hash over the lines before it`)
  lines.forEach((l, i) => l.type && judge(l.where, () => { need(l.seq === i + 1, 'has the number ' + l.seq); event(r, l) }))
  return r
}
function finish(r) { // what the lines come to
  const lacking = (settled, what) => (settled ? wrong : open).push('transcript.jsonl: ' + what)
  for (const h of r.holders.values()) if (h.role === 'N' && [undefined, h.id].includes(r.begun.enrols)) {
    const seen = h.file ? h.confirmed : h.proved && [h.proved, ...h.stored.map(s => s.seq)].every(s => covers(r, h.own, s))
    if (!seen) lacking(r.drafts.size, `${h.id} has no root key that is proved and vouched for`)
  }
  const it = r.drafts.get(r.live), end = Math.max(0, ...r.checkpoints.map(c => c.size))
  const sigs = [...it?.sigs.values() ?? []].filter(s => counts(r, it, s) && (!s.serial || covers(r, s.serial, s.seq)))
  if (!it || !complete(r, it.signed, sigs.map(s => s.keyid))) lacking(r.sealed, 'too few signatures that signers vouch for')
  for (const [name, o] of r.drafts) if (o !== it && complete(r, o.signed, [...o.sigs.keys()])) lacking(true, `draft ${name} is complete too`)
  if (!r.sealed || !r.closed || end < r.sealed.seq) lacking(false, 'not sealed and closed, or nobody vouches for the end')
  const late = l => EVENTS.get(l.type)?.late || l.type === 'exception' && r.lines[l.seq]?.type === 'carry.without'
  const bare = r.lines.slice(end).find(l => !late(l))
  if (bare) lacking(false, `nobody vouches for line ${bare.seq} and what follows`)
  for (const f of r.later) (r.closed ? wrong : open).push(`${f}: not there`)
}

// Files that nothing names, and that may be there
const LEFT = new RegExp(['transcript\\.jsonl', 'private/transcript\\.jsonl', '(metadata/[0-9a-f]{8}/)?notice[^/]*\\.md', 'SHA256SUMS',
  'rehearsal/.*', '(.*/)?\\.unfinished-[^/]*', 'evidence/\\d+/(9a|9c|82|f9)\\.[0-9a-f]{8}\\.pem', '(private/)?transcript\\.set-aside\\.[0-9a-f]{64}',
  'evidence/\\d+/(possession|enrolment)\\.[0-9a-f]{8}\\.json', 'private/backups/(tests|[a-z0-9-]+/[0-9a-f]{8})/[^/]+\\.age'].map(f => `^${f}$`).join('|'))
function judgeFiles(dir, r, folders) {
  const plan = r.files.get('plan.toml'), keys = new Set()
  if (plan) judge('plan.toml', () => {
    for (const m of text(plan).matchAll(/"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'/g)) keys.add(normalize(m[1] ?? m[2]))
    need(!r.hidden || sha(plan) === r.hidden.plan_sha256, 'not the plan that was agreed')
  })
  const known = f => r.named.has(f) || f === 'plan.toml' || keys.has(f) || LEFT.test(f)
  for (const f of r.files.keys()) if (!known(f)) wrong.push(`${f}: nothing names it`)
  const fine = f => /^(evidence|private|trusted|metadata|publish|rehearsal)(\/|$)/.test(f) || [...keys].some(k => k.startsWith(f + '/'))
  for (const f of folders) if (!fine(f)) wrong.push(`${f}: a folder that does not belong here`)
}
function readAll(dir) {
  const files = new Map(), folders = []
  let size = 0
  const walk = at => readdirSync(join(dir, at), { withFileTypes: true }).forEach(e => judge(at + e.name, () => {
    const name = at + e.name
    if (at === 'rehearsal/' && !(e.isFile() && e.name.endsWith('.pem'))) return
    if (e.isDirectory()) return folders.push(name), walk(name + '/')
    const bytes = e.isFile() ? lstatSync(join(dir, name)).size : Infinity
    need(bytes <= 64 << 20 && (size += bytes) <= 512 << 20 && files.size < 50000, 'not a plain file, or too large')
    files.set(name, readFileSync(join(dir, name)))
  }))
  walk('')
  return { files, folders }
}

const trust = []
let dir, rehearsal = false
try {
  for (let i = 2, a; (a = process.argv[i]) !== undefined; i++) {
    if (a === '--rehearsal') rehearsal = true
    else if (a === '--root') trust.push(...certificates(readFileSync(process.argv[++i])))
    else if (a.startsWith('-') || dir !== undefined) throw new Error(`not understood: ${a}`)
    else dir = a
  }
  if (!lstatSync(dir).isDirectory()) throw new Error('not a folder: ' + dir)
} catch (e) {
  console.error(`${e.message}\nusage: node checker.mjs [--rehearsal] [--root FILE.pem]... DIR`)
  process.exit(2)
}
judge(dir, () => {
  const { files, folders } = readAll(dir)
  for (const [f, bytes] of files) if (rehearsal && f.startsWith('rehearsal/')) trust.push(...certificates(bytes))
  const r = audit(files, { trust, rehearsal })
  judge(dir, () => finish(r))
  judgeFiles(dir, r, folders)
})
for (const line of wrong.length ? wrong : open) console.log(line)
if (!wrong.length && !open.length) console.log('good')
process.exit(wrong.length ? 1 : open.length ? 3 : 0)
