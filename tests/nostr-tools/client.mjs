// A client that shares no code with the relay asks it what clients ask relays.
//
//   node client.mjs ws://127.0.0.1:7000
//
// One line of JSON for each case: {"case", "ok", "why"}. The library checks each event
// that it is sent against the filters and against its signature, so an answer with a
// wrong event is a failed case, whatever the case is about.

import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'

import { fetchRelayInformation } from 'nostr-tools/nip11'
import { encrypt, getConversationKey } from 'nostr-tools/nip44'
import { createRumor, createSeal, unwrapEvent } from 'nostr-tools/nip59'
import { finalizeEvent, generateSecretKey, getPublicKey } from 'nostr-tools/pure'
import { Relay, useWebSocketImplementation } from 'nostr-tools/relay'
import WebSocket from 'ws'

/** Longer than anything here may take on a busy machine, in milliseconds. */
const PATIENCE = 20_000

const DAY = 86_400
const [NOTE, DELETION, ORDER, GIFT_WRAP] = [1, 5, 38_383, 1059]

const url = process.argv[2]

const cases = {
  'an event is accepted, and accepted again as a duplicate': async () => {
    const alice = await person()
    const note = alice.signs(NOTE)
    assert.equal(await alice.publish(note), '')
    assert.match(await alice.publish(note), /^duplicate: /)
    assert.deepEqual(await alice.reads({ ids: [note.id] }), [note.id])
  },

  'a wrong signature is refused': async () => {
    const alice = await person()
    const note = alice.signs(NOTE)
    const forged = { ...note, sig: alice.signs(NOTE, { content: 'other words' }).sig }
    await assert.rejects(alice.publish(forged), /invalid: /)
    assert.deepEqual(await alice.reads({ ids: [note.id] }), [])
  },

  'an id that is not the hash of its event is refused': async () => {
    const alice = await person()
    const note = alice.signs(NOTE)
    await assert.rejects(alice.publish({ ...note, content: 'changed' }), /invalid: /)
    const swapped = { ...note, id: alice.signs(NOTE, { content: 'another' }).id }
    await assert.rejects(alice.publish(swapped), /invalid: /)
    assert.deepEqual(await alice.reads({ authors: [alice.key] }), [])
  },

  'a replaceable event keeps its newest version when an older one comes late': async () => {
    const alice = await person()
    await keepsTheNewest(alice, 10_002, [])
  },

  'an addressable event keeps its newest version when an older one comes late': async () => {
    const alice = await person()
    const other = alice.signs(ORDER, { tags: [['d', 'another address']] })
    await alice.publish(other)
    await keepsTheNewest(alice, ORDER, [['d', 'this address']])
    assert.equal((await alice.reads({ authors: [alice.key], kinds: [ORDER] })).length, 2)
  },

  'of two versions of the same second the lower id stays': async () => {
    const alice = await person()
    const [lower, higher] = ['a', 'b']
      .map(content => alice.signs(10_002, { content, created_at: now() }))
      .sort((a, b) => (a.id < b.id ? -1 : 1))
    await alice.publish(higher)
    assert.equal(await alice.publish(lower), '')
    assert.match(await alice.publish(higher), /^duplicate: /)
    assert.deepEqual(await alice.reads({ authors: [alice.key] }), [lower.id])
  },

  'tag filters take any of their values and all of their tags, newest first': async () => {
    const mostro = await person()
    const moment = now()
    const order = (name, kind, status, age) =>
      mostro.signs(ORDER, {
        created_at: moment - age,
        tags: [['d', name], ['k', kind], ['s', status], ['f', 'EUR'], ['z', 'order']],
      })
    const [one, two, three, four] = [
      order('one', 'sell', 'pending', 1),
      order('two', 'buy', 'pending', 2),
      order('three', 'sell', 'in-progress', 3),
      order('four', 'sell', 'success', 4),
    ]
    for (const it of [three, one, four, two]) await mostro.publish(it)
    const book = filter => ({ authors: [mostro.key], kinds: [ORDER], ...filter })
    const table = [
      [{ '#d': ['two'] }, [two]],
      [{ '#d': ['four', 'one', 'nobody'] }, [one, four]],
      [{ '#s': ['pending'] }, [one, two]],
      [{ '#s': ['pending', 'in-progress'], '#k': ['sell'] }, [one, three]],
      [{ '#z': ['order'], '#k': ['buy', 'sell'] }, [one, two, three, four]],
      [{ '#z': ['order'], '#s': ['pending'], limit: 1 }, [one]],
      [{ '#z': ['order'], '#k': ['sell'], limit: 2 }, [one, three]],
      [{ '#z': ['order'], '#k': ['sell'], until: one.created_at - 1, limit: 1 }, [three]],
      [{ '#z': ['dispute'] }, []],
      [{ '#s': ['pend'] }, []],
    ]
    for (const [filter, expected] of table) {
      const ids = expected.map(event => event.id)
      assert.deepEqual(await mostro.reads(book(filter)), ids, JSON.stringify(filter))
    }
  },

  'several filters answer together, each event once': async () => {
    const alice = await person()
    const [note, reaction] = [alice.signs(NOTE), alice.signs(7)]
    for (const it of [note, reaction]) await alice.publish(it)
    const filters = [{ authors: [alice.key] }, { ids: [note.id] }, { ids: [reaction.id] }]
    assert.deepEqual((await alice.reads(...filters)).sort(), [note.id, reaction.id].sort())
  },

  'limit 0 shows nothing stored and stays live': async () => {
    const [alice, bob] = [await person(), await person()]
    await alice.publish(alice.signs(NOTE, { content: 'old' }))
    const live = await bob.watches({ authors: [alice.key], limit: 0 })
    assert.deepEqual(live.stored, [])
    const fresh = alice.signs(NOTE, { content: 'fresh' })
    await alice.publish(fresh)
    assert.equal(await live.next(), fresh.id)
  },

  'an event that has expired is refused': async () => {
    const alice = await person()
    const late = alice.signs(NOTE, { tags: [['expiration', `${now() - 1}`]] })
    await assert.rejects(alice.publish(late), /invalid: .*expired/)
  },

  'an event is shown until its last second and never after it': async () => {
    const alice = await person()
    const expires = now() + 2
    const note = alice.signs(NOTE, { tags: [['expiration', `${expires}`]] })
    await alice.publish(note)
    for (;;) {
      const asked = Date.now()
      const found = await alice.reads({ ids: [note.id] })
      if (Date.now() < expires * 1000) assert.equal(found.length, 1, 'gone too early')
      if (asked >= expires * 1000) return assert.deepEqual(found, [])
      await pause(50)
    }
  },

  'an ephemeral event is shown live and not kept': async () => {
    const [alice, bob] = [await person(), await person()]
    const live = await bob.watches({ kinds: [20_001], authors: [alice.key] })
    const passing = alice.signs(20_001)
    await alice.publish(passing)
    assert.equal(await live.next(), passing.id)
    assert.deepEqual(await bob.reads({ authors: [alice.key] }), [])
  },

  'an author deletes by id and by address, and nobody else does': async () => {
    const [alice, mallory] = [await person(), await person()]
    const [note, kept] = [alice.signs(NOTE), alice.signs(NOTE, { content: 'kept' })]
    const address = `${ORDER}:${alice.key}:mine`
    const order = alice.signs(ORDER, { tags: [['d', 'mine']], created_at: now() - 10 })
    for (const it of [note, kept, order]) await alice.publish(it)
    await mallory.publish(mallory.signs(DELETION, { tags: [['e', kept.id], ['a', address]] }))
    const all = [note.id, kept.id, order.id]
    assert.deepEqual((await alice.reads({ ids: all })).sort(), [...all].sort())
    const deletion = alice.signs(DELETION, { tags: [['e', note.id], ['a', address]] })
    await alice.publish(deletion)
    assert.deepEqual(await alice.reads({ ids: all }), [kept.id])
    assert.deepEqual(await alice.reads({ kinds: [DELETION], authors: [alice.key] }), [deletion.id])
    for (const it of [note, order]) await assert.rejects(alice.publish(it), /blocked: /)
    const renewed = alice.signs(ORDER, { tags: [['d', 'mine']], created_at: now() + 10 })
    assert.equal(await alice.publish(renewed), '')
  },

  'a deletion that comes before its event is remembered': async () => {
    const alice = await person()
    const note = alice.signs(NOTE)
    await alice.publish(alice.signs(DELETION, { tags: [['e', note.id]] }))
    await assert.rejects(alice.publish(note), /blocked: /)
    assert.deepEqual(await alice.reads({ ids: [note.id] }), [])
  },

  'a gift wrap that is two days old is accepted and read by its recipient': async () => {
    const [alice, bob] = [await person(), await person()]
    const wrap = wrapped(alice, bob, 'hello', now() - 2 * DAY)
    const live = await bob.watches({ kinds: [GIFT_WRAP], '#p': [bob.key], since: now() - 3 * DAY })
    assert.equal(await alice.publish(wrap), '')
    assert.equal(await live.next(), wrap.id)
    const [found] = await bob.finds({ kinds: [GIFT_WRAP], '#p': [bob.key] })
    const rumor = unwrapEvent(found, bob.secret)
    assert.deepEqual([rumor.pubkey, rumor.content], [alice.key, 'hello'])
  },

  'private kinds are hidden from who names no key': async () => {
    const [alice, bob, spy] = [await person(), await person(), await person()]
    const to = { tags: [['p', bob.key]] }
    const messages = [4, 14, GIFT_WRAP].map(kind => alice.signs(kind, to))
    const note = alice.signs(NOTE, to)
    const ids = [...messages, note].map(event => event.id)
    const nosy = [{}, { ids }, { since: now() - 60 }, { kinds: [NOTE, 4, 14, GIFT_WRAP] }]
    const live = await Promise.all(nosy.map(filter => spy.watches({ ...filter, limit: 0 })))
    for (const it of [...messages, note]) await alice.publish(it)
    const secrets = messages.map(event => event.id)
    for (const watch of live) {
      // The note was sent last: whoever has seen it has been passed over by the others.
      const seen = await watch.nextOf([...secrets, note.id])
      assert.equal(seen, note.id)
    }
    for (const filter of nosy) {
      const found = await spy.reads(filter)
      assert.ok(found.includes(note.id) && !secrets.some(id => found.includes(id)))
    }
    for (const kinds of [[4], [14], [GIFT_WRAP], [4, 14, GIFT_WRAP]]) {
      await assert.rejects(spy.reads({ kinds, since: now() - 60 }), /restricted: /)
    }
    assert.equal((await bob.reads({ '#p': [bob.key] })).length, 4)
    assert.equal((await bob.reads({ authors: [alice.key] })).length, 4)
  },

  'the information document names what these cases ask for (NIP-11)': async () => {
    const { supported_nips } = await fetchRelayInformation(url)
    const missing = [1, 9, 11, 40, 42, 45, 70].filter(nip => !supported_nips.includes(nip))
    assert.deepEqual(missing, [])
  },

  'the information document tells the limits that are enforced (NIP-11)': async () => {
    const { limitation } = await fetchRelayInformation(url)
    const alice = await person()
    await filtersAreCounted(alice, limitation.max_filters)
    await namesAreMeasured(alice, limitation.max_subid_length)
    await framesAreMeasured(alice, limitation.max_message_length)
    await answersAreCut(alice, limitation.max_limit)
    await theFutureIsNear(alice, limitation.created_at_upper_limit)
    await subscriptionsAreCounted(await person(), limitation.max_subscriptions)
  },

  'a protected event is taken from its author alone (NIP-42, NIP-70)': async () => {
    const [alice, bob] = [await person(), await person()]
    const note = alice.signs(NOTE, { tags: [['-']] })
    await assert.rejects(alice.publish(note), /auth-required: /)
    await alice.authenticates()
    assert.equal(await alice.publish(note), '')
    assert.deepEqual(await bob.reads({ ids: [note.id] }), [note.id])
    const hers = alice.signs(NOTE, { content: 'carried by another', tags: [['-']] })
    await assert.rejects(bob.publish(hers), /auth-required: /)
    await bob.authenticates()
    await assert.rejects(bob.publish(hers), /(auth-required|restricted): /)
  },

  'an authentication that is not exact is refused (NIP-42)': async () => {
    const other = (tags, name, value) => tags.map(tag => (tag[0] === name ? [name, value] : tag))
    const mistakes = {
      'another challenge': it => ({ ...it, tags: other(it.tags, 'challenge', 'guessed') }),
      'another relay': it => ({ ...it, tags: other(it.tags, 'relay', 'wss://relay.example.org/') }),
      'no challenge': it => ({ ...it, tags: it.tags.filter(([name]) => name !== 'challenge') }),
      'no relay': it => ({ ...it, tags: it.tags.filter(([name]) => name !== 'relay') }),
      'another kind': it => ({ ...it, kind: NOTE }),
      'an hour old': it => ({ ...it, created_at: it.created_at - 3600 }),
    }
    for (const [mistake, made] of Object.entries(mistakes)) {
      const mallory = await person()
      const note = mallory.signs(NOTE, { tags: [['-']] })
      await assert.rejects(mallory.publish(note), /auth-required: /)
      await assert.rejects(mallory.authenticates(made), /: /, mistake)
      await assert.rejects(mallory.publish(note), /auth-required: /, mistake)
    }
  },

  'a signature of somebody else authenticates nobody (NIP-42)': async () => {
    const mallory = await person()
    const note = mallory.signs(NOTE, { tags: [['-']] })
    await assert.rejects(mallory.publish(note), /auth-required: /)
    await assert.rejects(mallory.authenticates(it => it, generateSecretKey()), /: /)
    await assert.rejects(mallory.publish(note), /auth-required: /)
  },

  'events are counted, and hidden ones are not (NIP-45)': async () => {
    const [alice, bob, spy] = [await person(), await person(), await person()]
    for (const content of ['a', 'b', 'c']) await alice.publish(alice.signs(NOTE, { content }))
    await alice.publish(alice.signs(14, { tags: [['p', bob.key]] }))
    assert.equal(await spy.counts({ authors: [alice.key], kinds: [NOTE] }), 3)
    assert.equal(await spy.counts({ authors: [generateKey()] }), 0)
    assert.equal(await bob.counts({ kinds: [14], '#p': [bob.key] }), 1)
    const nosy = { kinds: [14], since: now() - 60 }
    await assert.rejects(spy.counts(nosy), /restricted: /)
    const all = await spy.counts({})
    await alice.publish(alice.signs(14, { content: 'one more', tags: [['p', bob.key]] }))
    assert.equal(await spy.counts({}), all)
  },
}

async function keepsTheNewest(author, kind, tags) {
  const at = age => author.signs(kind, { content: `${age} s old`, tags, created_at: now() - age })
  const [old, newest, late] = [at(20), at(0), at(10)]
  const ours = { kinds: [kind], authors: [author.key] }
  const address = tags.length > 0 ? { ...ours, '#d': [tags[0][1]] } : ours
  const live = await author.watches({ ...address, limit: 0 })
  for (const it of [old, newest]) assert.equal(await author.publish(it), '')
  assert.match(await author.publish(late), /^duplicate: /)
  assert.deepEqual(await author.reads(address), [newest.id])
  assert.deepEqual(await author.reads({ ids: [old.id, newest.id, late.id] }), [newest.id])
  const last = author.signs(kind, { content: 'last', tags, created_at: now() + 1 })
  await author.publish(last)
  const seen = [await live.next(), await live.next(), await live.next()]
  assert.deepEqual(seen, [old.id, newest.id, last.id], 'the late one is shown to nobody')
}

async function filtersAreCounted(client, most) {
  const filters = count => Array(count).fill({ authors: [client.key] })
  assert.deepEqual(await client.reads(...filters(most)), [])
  await assert.rejects(client.reads(...filters(most + 1)), /invalid: /)
}

async function namesAreMeasured(client, longest) {
  await client.watches({ limit: 0 }, 'n'.repeat(longest)).then(it => it.close())
  // The relay cannot name what has too long a name, so either answer is right.
  const heard = client.hears(([verb]) => verb === 'CLOSED' || verb === 'NOTICE')
  client.says(['REQ', 'n'.repeat(longest + 1), { limit: 0 }])
  assert.match((await heard).at(-1), /^invalid: /)
}

async function framesAreMeasured(client, longest) {
  const frame = verb => [verb, 'x'.repeat(longest - JSON.stringify([verb, '']).length)]
  for (const [words, isTooLong] of [[frame('SING'), false], [[...frame('SONG'), 1], true]]) {
    const heard = client.hears(([verb]) => verb === 'NOTICE')
    client.says(words)
    const [, why] = await heard
    assert.match(why, /^invalid: /)
    assert.equal(why.includes(`over ${longest} bytes`), isTooLong, why)
  }
}

async function answersAreCut(client, most) {
  // One moment for all: signed across the turn of a second, two would be equally old.
  const moment = now()
  const notes = Array.from({ length: most + 2 }, (_, age) =>
    client.signs(NOTE, { created_at: moment - age, content: `${age}` }))
  await Promise.all(notes.map(note => client.publish(note)))
  const newest = notes.map(note => note.id).slice(0, most)
  assert.deepEqual(await client.reads({ authors: [client.key] }), newest)
  assert.deepEqual(await client.reads({ authors: [client.key], limit: most + 1 }), newest)
}

async function theFutureIsNear(client, furthest) {
  // A minute on each side: this clock and the relay's are one, but time goes on.
  await client.publish(client.signs(NOTE, { created_at: now() + furthest - 60 }))
  const note = client.signs(NOTE, { created_at: now() + furthest + 60 })
  await assert.rejects(client.publish(note), /invalid: /)
}

async function subscriptionsAreCounted(client, most) {
  const open = []
  while (open.length < most) open.push(await client.watches({ limit: 0 }))
  await assert.rejects(client.reads({ limit: 0 }), /rate-limited: /)
  open[0].close()
  assert.deepEqual(await client.reads({ authors: [client.key] }), [])
}

/** A gift wrap of a chosen age; the library's own is of a random one. */
function wrapped(from, to, content, created_at) {
  const rumor = createRumor({ kind: 14, content, tags: [['p', to.key]] }, from.secret)
  const seal = createSeal(rumor, from.secret, to.key)
  const secret = generateSecretKey()
  const sealed = encrypt(JSON.stringify(seal), getConversationKey(secret, to.key))
  const tags = [['p', to.key]]
  return finalizeEvent({ kind: GIFT_WRAP, content: sealed, tags, created_at }, secret)
}

function generateKey() {
  return getPublicKey(generateSecretKey())
}

function now() {
  return Math.floor(Date.now() / 1000)
}

/** Everybody who has a connection in the case that runs. */
const present = new Set()

/** A fresh key and a connection of its own. */
async function person() {
  const relay = await Relay.connect(url, { timeout: PATIENCE })
  // The library takes silence for consent after a few seconds; here it is a failure.
  Object.assign(relay, { publishTimeout: PATIENCE, baseEoseTimeout: 10 * PATIENCE })
  relay.onnotice = () => {}
  const someone = new Person(relay, generateSecretKey())
  present.add(someone)
  return someone
}

class Person {
  constructor(relay, secret) {
    Object.assign(this, { relay, secret, key: getPublicKey(secret) })
  }

  signs(kind, { content = '', tags = [], created_at = now() } = {}) {
    return finalizeEvent({ kind, content, tags, created_at }, this.secret)
  }

  /** Resolves to the words of `OK true`, rejects with those of `OK false`. */
  publish(event) {
    return this.relay.publish(event)
  }

  counts(filter) {
    return inTime(this.relay.count([filter], {}), `the count of ${JSON.stringify(filter)}`)
  }

  /** Answers the challenge of the relay, with a mistake if one is made. */
  authenticates(mistake = it => it, secret = this.secret) {
    const sign = async template => {
      const event = finalizeEvent(mistake(template), secret)
      return secret === this.secret ? event : { ...event, pubkey: this.key }
    }
    return inTime(this.relay.auth(sign), 'the answer to AUTH')
  }

  /** The ids of what is stored, in the order it came. */
  async reads(...filters) {
    return (await this.finds(...filters)).map(event => event.id)
  }

  /** What is stored, in the order it came. */
  finds(...filters) {
    const stored = new Promise((resolve, reject) => {
      const found = []
      const subscription = this.relay.subscribe(filters, {
        onevent: event => found.push(event),
        oninvalidevent: event => reject(new Error(`not asked for: ${JSON.stringify(event)}`)),
        oneose: () => {
          resolve(found)
          subscription.close()
        },
        onclose: why => reject(new Error(why)),
      })
    })
    return inTime(stored, `what is stored for ${JSON.stringify(filters).slice(0, 200)}`)
  }

  /** Opens a subscription, reads its stored part and stays. */
  async watches(filter, id = undefined) {
    const live = new Live()
    const opened = new Promise((resolve, reject) => {
      live.subscription = this.relay.subscribe([filter], {
        ...(id && { id }),
        onevent: event => live.sees(event.id),
        oninvalidevent: event => live.sees(`not asked for: ${JSON.stringify(event)}`),
        oneose: resolve,
        onclose: why => reject(new Error(why)),
      })
    })
    await inTime(opened, 'the stored part')
    live.stored = live.seen.splice(0)
    return live
  }

  /** Sends a frame as it is. */
  says(frame) {
    this.relay.ws.send(JSON.stringify(frame))
  }

  /** Waits for a frame that the library does not hand out. */
  hears(wanted) {
    const heard = new Promise(resolve => {
      this.relay.ws.on('message', data => {
        const frame = JSON.parse(data)
        if (wanted(frame)) resolve(frame)
      })
    })
    return inTime(heard, 'a frame')
  }
}

/** The live part of a subscription. */
class Live {
  stored = []
  seen = []
  waiting = null

  sees(id) {
    this.seen.push(id)
    this.waiting?.()
  }

  async next() {
    while (this.seen.length === 0) {
      await inTime(new Promise(resolve => (this.waiting = resolve)), 'a live event')
    }
    return this.seen.shift()
  }

  /** The next of these; a watcher of everything sees other events, too. */
  async nextOf(ids) {
    for (;;) {
      const id = await this.next()
      if (ids.includes(id)) return id
    }
  }

  close() {
    this.subscription.close()
  }
}

async function inTime(promise, what) {
  const stop = new AbortController()
  const late = pause(PATIENCE, null, { signal: stop.signal }).then(() => {
    throw new Error(`${what} did not come in ${PATIENCE} ms`)
  })
  // The clock that is stopped below rejects, which nobody has to know.
  late.catch(() => {})
  try {
    return await Promise.race([promise, late])
  } finally {
    stop.abort()
  }
}

async function run(name, scene) {
  try {
    await scene()
    return { case: name, ok: true, why: '' }
  } catch (error) {
    return { case: name, ok: false, why: error?.message ?? `${error}` }
  } finally {
    for (const someone of present) someone.relay.close()
    present.clear()
  }
}

useWebSocketImplementation(WebSocket)
for (const [name, scene] of Object.entries(cases)) {
  console.log(JSON.stringify(await run(name, scene)))
}
// The library still waits for the end of subscriptions that the relay has closed.
process.exit()
