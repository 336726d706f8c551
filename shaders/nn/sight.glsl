// Which keys a query of nn_attention sees.

#define HIDDEN uintBitsToFloat(0xff800000u) // minus infinity

// Keys [x, y). With causal a query's position is its index + shift; positions and the window
// count blocks; window < 0: no limit.
ivec2 sight(uint query, bool causal, int shift, uint block_size, int window, uint keys)
{
    int position = int(query) + (causal ? shift : 0), block = int(block_size);
    int at = position >= 0 ? position / block : -1 - (-1 - position) / block;
    int last = int(keys), first = 0;
    if (causal)
        last = min(last, (at + 1) * block);
    if (window >= 0) {
        last = min(last, (at + window + 1) * block);
        first = max(0, (at - window) * block);
    }
    return ivec2(first, last);
}
