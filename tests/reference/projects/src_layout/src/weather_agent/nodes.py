def forecast(state):
    return {"forecast": f"rain in {state['city']}"}
