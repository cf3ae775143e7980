with

{{ billed_payers() }},

uncarried as (

    select
        billing_month,
        payer_account_id,
        count(distinct capacity_reservation_id) as block_count,
        sum(abs(amortized_usd)) as amortized_usd,
        min(capacity_reservation_id) as example
    from {{ ref('int_bill_charges') }}
    where is_capacity_block_fee and amortized_usd <> 0
    group by billing_month, payer_account_id

),

final as (

    select
        payers.billing_month,
        payers.payer_account_id,
        'amortized' as cost_basis,
        {{ expects_none('uncarried.block_count', 'uncarried.amortized_usd') }}
        coalesce(uncarried.block_count, 0)
        || ' Capacity Blocks with a fee that no hour carries, which stays what was billed'
        || coalesce(', like ' || uncarried.example, '') as evidence
    from payers
    left join uncarried
        on
            payers.billing_month = uncarried.billing_month
            and payers.payer_account_id = uncarried.payer_account_id

)

select * from final
