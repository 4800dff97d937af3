// Every document the pages send is valid against the API's own schema, so a renamed field is found here and not by a payer.
import { readFileSync } from 'node:fs'
import { buildSchema, parse, validate } from 'graphql'
import { expect, test } from 'vitest'
import * as cashier from '../src/cashier/documents'
import * as review from '../src/review/documents'

const schema = buildSchema(readFileSync(new URL('../../schema.graphql', import.meta.url), 'utf8'))

test.each(Object.entries({ ...cashier, ...review }))('%s is valid against api/schema.graphql', (_, { text }) => {
  expect(validate(schema, parse(text)).map((error) => error.message)).toEqual([])
})
