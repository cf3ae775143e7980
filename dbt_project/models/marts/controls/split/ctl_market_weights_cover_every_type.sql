with

{{ billed_months() }},

unpriced as (

    select
        months.billing_month,
        {{ whole_sum('types.amortized_usd', 'not types.has_market_weights') }}
            as amortized_usd,
        count(*) filter (where not types.has_market_weights) as type_count,
        {{ list_text('types.instance_type', 'not types.has_market_weights') }}
            as instance_types
    from months
    left join {{ ref('int_instance_types__resolved') }} as types
        on months.billing_month = types.billing_month
    group by months.billing_month

),

-- Only version 3 weighs by market prices; under the others this is for information.
final as (

    select
        billing_month,
        null::string as payer_account_id,
        'amortized' as cost_basis,
        0 as expected_usd,
        amortized_usd as actual_usd,
        amortized_usd as residual_usd,
        type_count = 0 or {{ method_in_use() }} <> 3 as is_passed,
        type_count || ' types have no market weights and are split by version 2'
        || coalesce(': ' || instance_types, '') as evidence
    from unpriced

)

select * from final
