"""The original gateway's public names, for whoever knows them: thin faces over hoosh's own rooms.  See docs/client.md.

    pools        TokenBudget, TokenPool               over budget's ledger
    cache        ResponseCache, cache_key             over the exact cache
    routes       Router, ProviderRoute, …             over the route table and the strategies
    providers    LlmProvider, ProviderRegistry        over a gateway of their own

Take the names from `hoosh`: each module is loaded when it is first used.  Source: reference section 19.
"""
