// How ceremony records write things, for checker.mjs: JSON, events, keys, certificates, roots and logs.
import { createHash, createPublicKey, verify, X509Certificate } from 'node:crypto'

const wrong = [], open = []
class Wrong extends Error {}
const need = (ok, what) => { if (!ok) throw new Wrong(what) }
function judge(where, f) { // whatever is malformed is a finding where it stands, and stops nothing else
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
  return need(form(v) === s, 'not written in the one way'), v
}
const byBytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))
const isObject = v => v !== null && typeof v === 'object' && !Array.isArray(v)
const sorted = v => Array.isArray(v) ? v.map(sorted) : !isObject(v) ? v
  : Object.fromEntries(Object.keys(v).sort(byBytes).map(k => [k, sorted(v[k])]))
const canonical = v => Array.isArray(v) ? `[${v.map(canonical)}]` : !isObject(v)
  ? typeof v === 'string' ? `"${v.replace(/["\\]/g, '\\$&')}"` : String(v)
  : `{${Object.keys(v).sort(byBytes).map(k => canonical(k) + ':' + canonical(v[k]))}}`

// What members may be, by name. A spec names an object's members in order; those with "?" are there only if they are
// not empty, 0 or false.
const str = v => typeof v === 'string', bool = v => typeof v === 'boolean'
const number = v => Number.isSafeInteger(v) && v >= 0
const hex = n => v => str(v) && v.length === n && /^[0-9a-f]*$/.test(v)
const list = f => v => v === null || Array.isArray(v) && v.every(f), either = (f, g) => v => f(v) || g(v)
const object = spec => v => isObject(v) && (members(v, spec), true), file = object('name sha256')
const id = v => str(v) && /^[a-z0-9][a-z0-9-]{0,31}$/.test(v)
const time = v => str(v) && !isNaN(Date.parse(v)) && new Date(v).toISOString().replace('.000', '') === v
const key = v => isObject(v) && same(Object.keys(v), ['algorithm', 'hex']) && (v.algorithm === 'ed25519'
  ? hex(64)(v.hex) : v.algorithm === 'ecdsa-p256' && hex(130)(v.hex) && v.hex.startsWith('04'))
const FORMS = new Map([[hex(64), `tree sum salt sha256 private random digest nonce key_id keyid list source answer
    plan_sha256 root program_sha256`], [hex(32), 'medium_id'], [hex(8), 'attempt'], [time, 'time expires next'],
  [number, `seq serial intention size format bytes version threshold quorum slot line Major Minor Patch paper
    lines alarm`],
  [bool, `rehearsal replacement found_on_look imported puk_kept second_machine words entropy absent spare factory_puk
    consistent_snapshot`], [id, 'id enrols recipient who'], [v => v === '' || id(v), 'holder'],
  [list(hex(64)), 'key_ids'],
  [str, `type name memory program tokens why text expected happened decided sticker form_factor witness signature
    custody reason`], [key, 'authentication'], [either(bool, key), 'public'], [either(str, key), 'age'],
  [either(str, file), 'file'],
  [either(number, list(file)), 'files'], [list(file), 'evidence kit'], [file, 'sums fuller test'],
  [list(id), 'recipients maybe missing unconfirmed'], [list(str), 'ages failed backups'],
  [isObject, 'data plan roles prepared key proved'],
  [v => object(v.name ? 'name sha256' : 'size root')(v), 'checkpoint'],
  [object('Major Minor Patch'), 'firmware'], [list(object('name role')), 'persons'],
  [v => /^(backups|review)$/.test(v), 'for'],
  [v => /^(sitting|token|words|nobody|differs)$/.test(v), 'how'],
  [list(v => same(Object.keys(v), ['slot', 'public', 'policy', 'generated'])), 'keys held'],
  [list(v => object(v.how ? 'holder how' : 'id name token? custody keyid? spare?')(v)), 'holders'],
  [list(object('id keyid reason name? token?')), 'drops'],
].flatMap(([form, names]) => names.split(/\s+/).map(name => [name, form])))
function members(v, spec) {
  const names = Object.keys(v)
  for (const m of spec.split(/\s+/).filter(Boolean)) {
    const name = m.replace('?', ''), value = v[name]
    if (names[0] !== name) { need(m !== name, `"${name}" is missing, or in another place`); continue }
    need(m === name || value && value.length !== 0, `"${name}" is there, and empty`)
    need(FORMS.get(names.shift())?.(value) ?? true, `"${name}" has not its form`)
  }
  need(!names.length, `"${names[0]}" is unknown, or in another place`)
}
const PLAN = `format private rehearsal kind name reason? incident? compromised? version trusted? threshold expires
  consistent_snapshot token backup? earlier? holders drops? persons roles`
// The types of events: whose holder they name (N new, K kept, D dropped, O nobody), when they may stand (any; plan:
// from the plan until the end; after: later too; +: even after the last checkpoint), and the members of data, after
// "|" those of the private part. "*" stands for the members that acts on a token begin with.
const EVENTS = new Map(`- any: ceremony.begun format program program_sha256? rehearsal tokens enrols? random? |
  memory lines; preflight.done failed | findings;
  plan.agreed digest plan anchor? | salt plan_sha256 sites backup? earlier?; note text | text;
  exception expected happened decided | expected happened decided
- any+: ceremony.continued format program program_sha256? rehearsal tokens enrols?;
  log.set-aside file? bytes sha256? line?;
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
N plan: holder.collected * file checkpoint prepared key proved; holder.confirmed * sha256 words;
  drill.done holder | file by
NKD plan: signature.intended * version digest key_id; signature.made * intention version digest key_id signature file;
  signature.collected holder version digest key_id signature source file
- plan: recipient.proved | recipient age answer test? absent?;
  draft.made version digest expires bytes file unconfirmed?;
  rollcall.held for holders;
  draft.reviewed digest second_machine; draft.differs digest; draft.abandoned digest why maybe;
  draft.resumed digest why;
  enrolment.handed-over file; root.published version digest file key_ids kit; checkpoints.waived;
  ceremony.sealed digest key_ids fuller?
- plan+: start.compared paper; ceremony.closed sums checkpoint?
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
const SPKI = { ed25519: '302a300506032b6570032100',
  'ecdsa-p256': '3059301306072a8648ce3d020106082a8648ce3d030107034200',
  'ecdsa-p384': '3076301006072a8648ce3d020106052b81040022036200' }
const spki = k => Buffer.from(SPKI[k.algorithm] + k.hex, 'hex')
function signs(k, message, signature) {
  const algorithm = Object.keys(SPKI).find(a => k.toString('hex').startsWith(SPKI[a]))
  need(algorithm && (algorithm !== 'ed25519' || signature.length === 64), 'a key or signature of an unknown kind')
  const hash = { 'ecdsa-p256': 'sha256', 'ecdsa-p384': 'sha384' }[algorithm] ?? null
  return verify(hash, Buffer.from(message), createPublicKey({ key: k, format: 'der', type: 'spki' }), signature)
}
const base64 = b => b.toString('base64').replace(/.{1,64}/g, '$&\n')
const pem = k => `-----BEGIN PUBLIC KEY-----\n${base64(k)}-----END PUBLIC KEY-----\n`
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
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g
const certificates = bytes => text(bytes).match(PEM).map(certificate)
function leads(c, trust, from = c.from, to = c.to, below = 1) { // to a root, at one time at which all are valid
  return trust.find(t => {
    const start = Math.max(from, t.from), end = Math.min(to, t.to), self = t.subject.equals(t.issuer)
    if (below > 8 || start > end || !t.x.ca || !t.subject.equals(c.issuer) || !c.x.verify(t.x.publicKey)) return false
    const most = der(der(t.extensions.get('551d13').body)[0].body).find(i => i.tag === 2)
    return !(most?.body[0] < below) && (self || leads(t, trust, start, end, below + 1))
  })
}
const PIV = '2b0601040182c40a030', KNOWN = ['551d0e', '551d0f', '551d11', '551d13', '551d23', '551d25']
function attest(r, slot, serial, k, evidence) { // evidence: names and bytes of its two certificates
  const [c, f9] = evidence.map(([name, bytes], i) => {
    const [found, ...more] = certificates(bytes)
    need(name === `evidence/${serial}/${i ? 'f9' : slot}.${sha(found.x.raw).slice(0, 8)}.pem` && !more.length, name)
    return found
  })
  const at = n => c.extensions.get(PIV + n)?.body ?? Buffer.alloc(0), up = leads(f9, r.trust)
  const bad = (ok, what) => need(ok, `the attestation of ${slot} ${what}`)
  bad(up && f9.x.ca, 'leads to no root that is trusted')
  const names = der(up.subject.equals(up.issuer) ? f9.subject : f9.issuer).flatMap(n => der(n.body)).map(n =>
    der(der(n.body)[0].body))
  bad(names.some(([oid, n]) => oid.body.toString('hex') === '550403' && n.body.toString().startsWith('Yubico PIV ')),
    'is not by the PIV applet')
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
  const root = JSON.parse(s), plain = s.replace(/"(?:[^"\\]|\\.)*"|\s+/g, t => t[0] === '"'
    ? JSON.stringify(JSON.parse(t)) : '')
  const once = v => !(v instanceof Object) || new Set(Object.keys(v).map(k =>
    k.toLowerCase())).size === Object.keys(v).length && Object.values(v).every(once)
  need(plain === JSON.stringify(root) && once(root), 'a name stands twice, or a number is no integer')
  need(new Set(root.signatures.map(s => s.keyid)).size === root.signatures.length, 'a key id stands twice')
  return root
}
const rootFile = (signed, sigs) => JSON.stringify(sorted({ signatures: sigs.map(({ keyid, sig }) =>
  ({ keyid, sig })) .sort((a, b) => byBytes(a.keyid, b.keyid)), signed }), null, 2) + '\n'
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
  const stay = (old?.roles.root.keyids ?? []).filter(i => plan.holders.some(h => h.keyid === i)).map(i =>
    put(i, old.keys[i]))
  const come = plan.holders.filter(isNew).map(h => place(tufKey(keyOf(h))))
  signed.roles.root = { ...old?.roles.root, threshold: plan.threshold, keyids: [...stay, ...come] }
  return signed
}

// The log. A last line that doesn't fit its sum is what a death has left, unless it begins with a whole one.
function readLog(prefix, name, files, spec) {
  const lines = [], bytes = files.get(name) ?? Buffer.alloc(0)
  for (let at = 0, end; at < bytes.length; at = end + 1) {
    end = bytes.indexOf(10, at) < 0 ? bytes.length : bytes.indexOf(10, at)
    const b = bytes.subarray(at, end), where = `${prefix}${name} line ${lines.length + 1}`
    const whole = [...b.toString('latin1').matchAll(/,"sum":"([0-9a-f]{64})"\}/g)].filter(m =>
      sha(b.subarray(0, m.index)) === m[1])
    if (end + 1 >= bytes.length && !whole.length) { open.push(`${where}: cut short`); break }
    lines.push({ where, bytes: b, ...judge(where, () => {
      need(b.length <= 1 << 20 && whole.some(m => m.index + m[0].length === b.length),
        'does not fit its sum, or is too long')
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

export { open, wrong, need, judge, sha, unhex, text, compact, pretty, same, parse, canonical, members, PLAN, EVENTS,
  spki, signs, tufKey, value, recipient, certificates, attest, readRoot, rootFile, verified, signedBy, complete,
  isNew, draft, readLog, treeRoots }
