with

{{ billed_months() }},

fallback as (

    select
        months.billing_month,
        {{ whole_sum('types.amortized_usd', "types.source = 'bill'") }} as amortized_usd,
        count(*) filter (where types.source = 'bill') as type_count,
        {{ list_text('types.instance_type', "types.source = 'bill'") }} as instance_types
    from months
    left join {{ ref('int_instance_types__resolved') }} as types
        on months.billing_month = types.billing_month
    group by months.billing_month

),

final as (

    select
        billing_month,
        null::string as payer_account_id,
        'amortized' as cost_basis,
        0 as expected_usd,
        amortized_usd as actual_usd,
        amortized_usd as residual_usd,
        type_count = 0 as is_passed,
        type_count || ' types took their capacities from the bill'
        || coalesce(': ' || instance_types, '') as evidence
    from fallback

)

select * from final
