import fc from 'fast-check'

// Where a property says how long a history may be, it gets some of that length. fast-check stops at 10 otherwise.
fc.configureGlobal({ defaultSizeToMaxWhenMaxSpecified: true })
